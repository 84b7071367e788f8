"""`fusion.mult`: a crossmodal transformer for each ordered pair of streams."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mmsdk import CrossBlock, Encoding, FeatureFusion, Fused, Parts, Source, TransformerBlock
from mmsdk_fusion.vectors import OfTokens, mean, vector_and_tokens


class CrossmodalTransformer(FeatureFusion):
    """For each stream a and each other one b, a transformer in which a's tokens attend to b's: Z_ba. Then, for each a,

    Z_a = transformer(sum_b O_ba Z_ba), and h = sum_a W_a (mean of Z_a) + bias. Tsai et al., "Multimodal Transformer for
    Unaligned Multimodal Language Sequences", 2019 (MulT): in every layer of Z_ba the keys and values are the tokens
    that b had before fusion. The paper's last transformers work on [Z_ba; Z_ca; ...] side by side and its heads read
    the last step; here a linear layer first brings all back to one width (O), and the mean of the steps is read.
    Positions and convolutions are the encoders' business.

    A pair is there where both its streams are, so absence is exact; where no other stream is, Z_a is made of a's own
    tokens. Costs M (M - 1) transformers, each of the product of two lengths; of two streams or more.
    """

    def __init__(
        self, sources: Mapping[str, Source], width: int, layers: int = 2, heads: int = 4, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.width = self.pooled_width = width
        self.project = OfTokens(sources, width)
        self.cross = Parts(
            {
                name: Parts({other: _Pair(width, layers, heads, dropout) for other in sources if other != name})
                for name in sources
            }
        )
        self.own = Parts(
            {name: nn.ModuleList(TransformerBlock(width, heads, dropout) for _ in range(layers)) for name in sources}
        )
        self.norms = Parts({name: nn.LayerNorm(width) for name in sources})
        self.join = nn.Linear(len(sources) * width, width)  # W_1, ..., W_M

    def forward(self, encodings: Mapping[str, Encoding]) -> Fused:
        """tokens [batch, length_m, width_m] of each stream -> tokens [batch, 1 + sum of lengths, width]."""
        given = self.project(encodings)
        changed, means = {}, []
        for name, own in given.items():
            found: Tensor | int = 0
            others: list[Tensor] = []
            for other, pair in self.cross[name].items():
                present = encodings[other].present
                others.append(present)
                found = found + pair(own, given[other], encodings[other].mask).masked_fill(~present[:, None, None], 0)
            tokens = torch.where(torch.stack(others).any(dim=0)[:, None, None], found, own)
            for block in self.own[name]:
                tokens = block(tokens, encodings[name].mask)
            changed[name] = self.norms[name](tokens)  # [batch, length_m, width]
            means.append(mean(changed[name], encodings[name].mask))
        return vector_and_tokens(self.join(torch.cat(means, dim=1)), changed, encodings)


class _Pair(nn.Module):
    """The tokens of one stream after they have attended to those of another, in several layers."""

    def __init__(self, width: int, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(CrossBlock(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, width, bias=False)  # O

    def forward(self, tokens: Tensor, others: Tensor, mask: Tensor) -> Tensor:
        """tokens [batch, a, width], others [batch, b, width], mask [batch, b] -> [batch, a, width]."""
        for block in self.blocks:
            tokens = block(tokens, others, mask)
        found: Tensor = self.out(self.norm(tokens))
        return found
