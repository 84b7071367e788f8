"""`fusion.deepset`: the streams as a set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import nn

from mmsdk import Encoding, FeatureFusion, Fused, Source
from mmsdk_fusion.vectors import OfVectors, one_vector, presence


class DeepSet(FeatureFusion):
    """h = rho(pool_m phi(P_m z_m)), where phi and rho are of two layers and the pool is sum, mean or max.

    Zaheer et al., "Deep Sets", 2017: any function of a set is rho of a sum of phi. P_m brings each stream to one
    width, and its bias tells phi which stream it is; phi is the same for all. A set has no place for what is absent,
    so absence is exact. Costs M times phi.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        width: int,
        pool: Literal["sum", "mean", "max"] = "sum",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.width = self.pooled_width = width
        self.pool = pool
        self.project = OfVectors(sources, width)
        self.phi = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.rho = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, width))

    def forward(self, encodings: Mapping[str, Encoding]) -> Fused:
        """pooled [batch, pooled_width] of each stream -> one token, [batch, 1, width]."""
        present = presence(encodings)  # [batch, streams]
        there = present[..., None]
        elements = self.phi(torch.stack(self.project(encodings), dim=1))  # [batch, streams, width]
        if self.pool == "max":
            pooled = elements.masked_fill(~there, 0).amax(dim=1)  # phi gives nothing below zero
        else:
            pooled = elements.masked_fill(~there, 0).sum(dim=1)
        if self.pool == "mean":
            pooled = pooled / there.sum(dim=1).clamp(min=1)
        return one_vector(self.rho(pooled), present)
