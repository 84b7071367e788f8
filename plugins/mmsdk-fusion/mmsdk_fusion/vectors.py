"""What the strategies share: who is present, clean inputs, and the forms of a result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from mmsdk import Encoding, Fused, Parts, Source


def presence(encodings: Mapping[str, Encoding]) -> Tensor:
    """Which streams each row has: [batch, streams] bool, in the order of the mapping."""
    return torch.stack([encoding.present for encoding in encodings.values()], dim=1)


def vectors(encodings: Mapping[str, Encoding]) -> dict[str, Tensor]:
    """Each stream's pooled vectors [batch, pooled_width]; zeros where absent, whatever stands there."""
    return {name: encoding.pooled.masked_fill(~encoding.present[:, None], 0) for name, encoding in encodings.items()}


def mean(tokens: Tensor, mask: Tensor) -> Tensor:
    """tokens [batch, length, width], mask [batch, length] bool -> [batch, width]; zeros where nothing is."""
    total = tokens.masked_fill(~mask[..., None], 0).sum(dim=1)
    return total / mask.sum(dim=1, keepdim=True).clamp(min=1)


def product(factors: Iterable[Tensor], present: Tensor) -> Tensor:
    """The elementwise product of factors [batch, width], one per stream; that of an absent stream is 1."""
    whole = torch.ones((), device=present.device)
    for factor, there in zip(factors, present.unbind(dim=1), strict=True):
        whole = whole * torch.where(there[:, None], factor, 1)
    return whole


def signed_root(vector: Tensor) -> Tensor:
    """sign(x) * sqrt(|x|), then the length 1, as after a bilinear form: vector [..., width], in float32.

    Its slope at 0 is infinite; x / sqrt(|x| + 1e-6) is the same but for the smallest numbers.
    """
    vector = vector.float()
    return nn.functional.normalize(vector * (vector.abs() + 1e-6).rsqrt(), dim=-1)


def one_vector(vector: Tensor, present: Tensor, losses: Mapping[str, Tensor] | None = None) -> Fused:
    """vector [batch, width] and present [batch, streams] as one token per row; zeros where no stream is."""
    mask = present.any(dim=1, keepdim=True)  # [batch, 1]
    vector = vector.masked_fill(~mask, 0)
    return Fused(Encoding(vector[:, None], mask, vector), losses=losses or {})


def vector_and_tokens(vector: Tensor, tokens: Mapping[str, Tensor], encodings: Mapping[str, Encoding]) -> Fused:
    """vector [batch, width], and each stream's tokens [batch, length_m, width] after fusion, behind it."""
    streams = {}
    for name, own in tokens.items():
        mask = encodings[name].mask
        streams[name] = Encoding(own.masked_fill(~mask[..., None], 0), mask, mean(own, mask))
    there = presence(encodings).any(dim=1, keepdim=True)  # [batch, 1]
    vector = vector.masked_fill(~there, 0)
    every = torch.cat([vector[:, None], *(stream.tokens for stream in streams.values())], dim=1)
    mask = torch.cat([there, *(stream.mask for stream in streams.values())], dim=1)
    return Fused(Encoding(every, mask, vector), streams)


class OfVectors(Parts[nn.Linear]):
    """A linear layer over the pooled vectors of each stream.

    bias: where the biases begin, for factors of a product: near zero they have hardly any gradient.
    """

    def __init__(self, sources: Mapping[str, Source], width: int, bias: float | None = None) -> None:
        super().__init__({name: nn.Linear(source.pooled_width, width) for name, source in sources.items()})
        for layer in self.values() if bias is not None else ():
            nn.init.constant_(layer.bias, bias or 0.0)

    def forward(self, encodings: Mapping[str, Encoding]) -> list[Tensor]:
        """[batch, width] of each stream; where it is absent, what the layer makes of zeros."""
        return [self[name](vector) for name, vector in vectors(encodings).items()]


class OfTokens(Parts[nn.Linear]):
    """A linear layer over the tokens of each stream."""

    def __init__(self, sources: Mapping[str, Source], width: int) -> None:
        super().__init__({name: nn.Linear(source.width, width) for name, source in sources.items()})

    def forward(self, encodings: Mapping[str, Encoding]) -> dict[str, Tensor]:
        """[batch, length_m, width] of each stream; zeros in the padding."""
        found = {}
        for name, encoding in encodings.items():
            hidden = ~encoding.mask[..., None]
            found[name] = self[name](encoding.tokens.masked_fill(hidden, 0)).masked_fill(hidden, 0)
        return found
