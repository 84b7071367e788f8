"""`cross_attention`: each stream keeps its own tokens and looks things up in those of the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from mmsdk.builtin.fusions.vectors import masks_of, presence, vector_and_tokens
from mmsdk.builtin.layers.attention import CrossBlock, TransformerBlock
from mmsdk.builtin.layers.pooling import clean, masked_mean
from mmsdk.builtin.layers.rollout import by_stream, mean_origin, origins, passed_on, recorded
from mmsdk.containers import Encoding, Fused
from mmsdk.formats import Source
from mmsdk.interfaces import FeatureFusion
from mmsdk.modules import Parts


class CrossAttention(FeatureFusion):
    """Per layer, each stream's tokens attend to the tokens of all other streams, then to one another.

    The multi-stream design of ViLBERT (Lu et al., "ViLBERT: Pretraining Task-Agnostic Visiolinguistic
    Representations for Vision-and-Language Tasks", 2019) and LXMERT (Tan and Bansal, "LXMERT: Learning
    Cross-Modality Encoder Representations from Transformers", 2019), for two streams or more. All streams of
    a layer attend at once, to what the layer before gave. The fused vector is the mean, over the present
    streams, of each one's mean token.

    Nothing attends to an absent stream, and it does not count in the mean, so absence is exact. Attention
    costs the square of the number of all tokens together; weights grow with the number of streams.
    """

    def __init__(
        self, sources: Mapping[str, Source], width: int, layers: int = 2, heads: int = 4, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.width = self.pooled_width = width
        self.project = Parts({name: nn.Linear(source.width, width) for name, source in sources.items()})
        self.layers = nn.ModuleList(_Layer(sources, width, heads, dropout) for _ in range(layers))
        self.norms = Parts({name: nn.LayerNorm(width) for name in sources})

    def forward(self, encodings: Mapping[str, Encoding]) -> Fused:
        """tokens [batch, length_m, width_m] of each stream -> tokens [batch, 1 + sum of lengths, width]."""
        masks = masks_of(encodings)
        tokens = {name: self.project[name](clean(*encoding).tokens) for name, encoding in encodings.items()}
        for layer in self.layers:
            tokens = layer(tokens, masks)
        streams = {}
        for name, mask in masks.items():
            final = self.norms[name](tokens[name])  # [batch, length_m, width]
            streams[name] = clean(final, mask, masked_mean(final, mask))
        present = presence(encodings)  # [batch, streams]
        means = torch.stack([stream.pooled for stream in streams.values()], dim=1)  # [batch, streams, width]
        every = torch.cat([stream.tokens for stream in streams.values()], dim=1)
        fused = masked_mean(means, present)  # [batch, width]
        return Fused(vector_and_tokens(fused, every, _joined(masks, masks), present.any(dim=1)), streams)

    def attention(self, encodings: Mapping[str, Encoding]) -> dict[str, Tensor]:
        """What the mean tokens of the streams are made of, on average, followed through the layers."""
        masks = masks_of(encodings)
        with recorded(self.layers) as looks:
            self(encodings)
        made, each = origins(masks), iter(looks)
        for _ in self.layers:
            before = made
            made = {}
            for name, own in before.items():
                seen = passed_on(own, next(each), _joined(before, [other for other in before if other != name]))
                made[name] = passed_on(seen, next(each), seen)
        return by_stream(mean_origin(made, masks), masks)


class _Layer(nn.Module):
    """For each stream, attention to the tokens of all others, then self-attention."""

    def __init__(self, streams: Iterable[str], width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.cross = Parts({name: CrossBlock(width, heads, dropout) for name in streams})
        self.own = Parts({name: TransformerBlock(width, heads, dropout) for name in streams})

    def forward(self, tokens: dict[str, Tensor], masks: dict[str, Tensor]) -> dict[str, Tensor]:
        """Each stream's tokens [batch, length_m, width] and mask [batch, length_m] -> the tokens."""
        changed = {}
        for name, own in tokens.items():
            others = [other for other in tokens if other != name]
            context, seen = _joined(tokens, others), _joined(masks, others)
            changed[name] = self.own[name](self.cross[name](own, context, seen), masks[name])
        return changed


def _joined(parts: Mapping[str, Tensor], streams: Iterable[str]) -> Tensor:
    """Those streams' tokens, or masks, in one sequence."""
    return torch.cat([parts[name] for name in streams], dim=1)
