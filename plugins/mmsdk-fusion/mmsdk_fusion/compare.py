"""Conneau et al. 2017, "Supervised Learning of Universal Sentence Representations from Natural Language Inference"."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from mmsdk import Encoding, FeatureFusion, Fused, Source


class Compare(FeatureFusion):
    """W [u; v; |u - v|; u * v] + b of two pooled vectors, after a projection of each to `width`.

    An absent stream is a vector of zeros after its projection, whatever stands in its slot.
    """

    def __init__(self, sources: Mapping[str, Source], width: int) -> None:
        super().__init__()
        self.width = self.pooled_width = width
        self.projections = nn.ModuleList(nn.Linear(source.pooled_width, width) for source in sources.values())
        self.join = nn.Linear(4 * width, width)

    def forward(self, encodings: Mapping[str, Encoding]) -> Fused:
        u, v = (
            project(encoding.pooled.masked_fill(~encoding.present[:, None], 0)) * encoding.present[:, None]
            for project, encoding in zip(self.projections, encodings.values(), strict=True)
        )  # [batch, width] each
        pooled = self.join(torch.cat([u, v, (u - v).abs(), u * v], dim=-1))
        present = torch.stack([encoding.present for encoding in encodings.values()]).any(dim=0)
        pooled = pooled * present[:, None]
        return Fused(Encoding(pooled[:, None], present[:, None], pooled))
