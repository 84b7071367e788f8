"""`perceiver`: a fixed number of learned vectors that look into all streams."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mmsdk.builtin.fusions.vectors import masks_of, presence
from mmsdk.builtin.layers.attention import CrossBlock, TransformerBlock
from mmsdk.builtin.layers.pooling import clean
from mmsdk.builtin.layers.rollout import by_stream, origins, passed_on, recorded
from mmsdk.containers import Encoding, Fused
from mmsdk.formats import Source
from mmsdk.interfaces import FeatureFusion
from mmsdk.modules import Parts


class Perceiver(FeatureFusion):
    """Per layer, L <- cross_attention(L, [P_1 H_1 + e_1; ...; P_M H_M + e_M]), then L <- block(L).

    Jaegle et al., "Perceiver: General Perception with Iterative Attention", 2021, without sharing weights between
    layers; the querying transformer of Li et al., "BLIP-2", 2023, looks things up in the same way. L is a set of
    learned vectors and e_m a learned vector per stream; positions are the encoders' business. The fused tokens are the
    L, and the fused vector is their mean, as in the paper.

    Nothing is looked up in an absent stream, so absence is exact. Time grows with the number of all tokens together,
    and only in the look-up: where many tokens come in, this is the cheapest strategy that reads them all.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        width: int,
        layers: int = 1,
        heads: int = 4,
        latents: int = 16,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.width = self.pooled_width = width
        self.project = Parts({name: nn.Linear(source.width, width) for name, source in sources.items()})
        self.kinds = nn.Parameter(0.02 * torch.randn(len(sources), width))  # e_1, ..., e_M
        self.latents = nn.Parameter(torch.randn(latents, width))  # L
        self.look = nn.ModuleList(CrossBlock(width, heads, dropout) for _ in range(layers))
        self.think = nn.ModuleList(TransformerBlock(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, encodings: Mapping[str, Encoding]) -> Fused:
        """tokens [batch, length_m, width_m] of each stream -> tokens [batch, latents, width]."""
        parts = [
            self.project[name](clean(*encoding).tokens) + kind
            for kind, (name, encoding) in zip(self.kinds, encodings.items(), strict=True)
        ]
        context = torch.cat(parts, dim=1)  # [batch, length, width]
        seen = torch.cat([encoding.mask for encoding in encodings.values()], dim=1)  # [batch, length]
        latents = self.latents.expand(context.shape[0], -1, -1)  # [batch, latents, width]
        mask = presence(encodings).any(dim=1, keepdim=True).expand(-1, latents.shape[1])  # [batch, latents]
        for look, think in zip(self.look, self.think, strict=True):
            latents = think(look(latents, context, seen), mask)
        final = self.norm(latents)
        return Fused(clean(final, mask, final.mean(dim=1)))

    def attention(self, encodings: Mapping[str, Encoding]) -> dict[str, Tensor]:
        """What the L are made of, on average, followed through the layers; what they were before is left out."""
        masks = masks_of(encodings)
        with recorded(self.look, self.think) as looks:
            self(encodings)
        context = torch.cat(list(origins(masks).values()), dim=1)  # [batch, length, length]
        latents = torch.zeros_like(looks[0])  # [batch, latents, length]: of no token, to begin with
        for look, think in zip(looks[::2], looks[1::2], strict=True):
            latents = passed_on(latents, look, context)
            latents = passed_on(latents, think, latents)
        return by_stream(latents.mean(dim=1), masks)
