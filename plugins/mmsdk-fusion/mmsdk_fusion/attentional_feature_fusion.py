"""`fusion.attentional_feature_fusion`: what is taken of one stream is not taken of the other."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mmsdk import Encoding, FeatureFusion, Fused, Parts, Source
from mmsdk_fusion.vectors import OfVectors, one_vector, presence


class AttentionalFeatureFusion(FeatureFusion):
    """AFF: M(x + y) * x + (1 - M(x + y)) * y, where M is a bottleneck of two layers with a sigmoid.

    Dai et al., "Attentional Feature Fusion", 2021. Iterative (iAFF): what M looks at is not x + y but the AFF of x and
    y. The paper adds M up from a local part, at each place of an image, and a global one, of the whole image. A pooled
    vector has one place, where both are the same function, so there is one; and no batch normalisation.

    More streams make a chain: x is what the streams before have given, with an M of its own for each y. Where one of
    the two is absent the other one passes unchanged: absence is exact. Costs M - 1 bottlenecks.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        width: int,
        hidden: int,
        iterative: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.width = self.pooled_width = width
        self.project = OfVectors(sources, width)
        self.links = Parts({name: _Link(width, hidden, 1 + iterative) for name in list(sources)[1:]})
        self.dropout = nn.Dropout(dropout)

    def forward(self, encodings: Mapping[str, Encoding]) -> Fused:
        """pooled [batch, pooled_width] of each stream -> one token, [batch, 1, width]."""
        present = presence(encodings)  # [batch, streams]
        (x, *others), (there, *rest) = self.project(encodings), present[..., None].unbind(dim=1)
        for link, y, here in zip(self.links.values(), others, rest, strict=True):
            x = torch.where(there & here, link(x, y), torch.where(here, y, x))  # [batch, width]
            there = there | here
        return one_vector(self.dropout(x), present)


class _Link(nn.Module):
    """Joins two vectors; what each round gives is what the next one looks at."""

    def __init__(self, width: int, hidden: int, rounds: int) -> None:
        super().__init__()
        self.attention = nn.ModuleList(
            nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width), nn.Sigmoid())
            for _ in range(rounds)
        )

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """x and y [batch, width] -> [batch, width]."""
        joined = x + y
        for attention in self.attention:
            share = attention(joined)
            joined = share * x + (1 - share) * y
        return joined
