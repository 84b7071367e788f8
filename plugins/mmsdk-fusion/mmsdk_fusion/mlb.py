"""`fusion.mlb`: low-rank bilinear pooling."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from mmsdk import Encoding, FeatureFusion, Fused, Source
from mmsdk_fusion.vectors import OfVectors, one_vector, presence, product


class LowRankBilinear(FeatureFusion):
    """h = P (f(U_1 z_1 + c_1) * ... * f(U_M z_M + c_M)) + b, where * is elementwise and f is tanh or nothing.

    Kim et al., "Hadamard Product for Low-rank Bilinear Pooling", 2017 (MLB). Without f this is the bilinear form of
    [z_1; 1] and [z_2; 1] whose tensor is T_ijk = sum_r U_ri V_rj P_kr, of rank `rank`. The biases c_m begin as 1: a
    product of factors near zero has hardly any gradient, and training would stall.

    More streams are more factors. That of an absent stream is 1: absence is exact. Costs a projection per stream.
    """

    def __init__(
        self, sources: Mapping[str, Source], width: int, rank: int, tanh: bool = True, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.width = self.pooled_width = width
        self.factors = OfVectors(sources, rank, bias=1.0)
        self.activation = nn.Tanh() if tanh else nn.Identity()
        self.out = nn.Sequential(nn.Dropout(dropout), nn.Linear(rank, width))

    def forward(self, encodings: Mapping[str, Encoding]) -> Fused:
        """pooled [batch, pooled_width] of each stream -> one token, [batch, 1, width]."""
        present = presence(encodings)  # [batch, streams]
        joined = product(map(self.activation, self.factors(encodings)), present)  # [batch, rank]
        return one_vector(self.out(joined), present)
