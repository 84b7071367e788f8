"""`low_rank`: all products of the streams' numbers, through a tensor of weights that is never written down."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from mmsdk.builtin.fusions.vectors import one_vector, presence, vectors
from mmsdk.containers import Encoding, Fused
from mmsdk.formats import Source
from mmsdk.interfaces import FeatureFusion
from mmsdk.modules import Parts


class LowRank(FeatureFusion):
    """h = sum_r w_r prod_m (W_m^r [1; z_m])^{a_m}, elementwise, with a_m = 0 for an absent stream and 1 otherwise.

    Liu et al., "Efficient Low-rank Multimodal Fusion with Modality-Specific Factors", 2018: `tensor` without
    projections, whose weights sum_r w_r W_1^r (x) ... (x) W_M^r have rank R. The w_r are those of the authors' program;
    its bias is left to the head. The first column of each W_m^r, which meets the 1, begins as ones and w_r as 1 / R: a
    product of factors near zero has hardly any gradient, and training would stall. Absence is exact: an absent factor
    is one. R projections per stream.
    """

    def __init__(self, sources: Mapping[str, Source], width: int, rank: int = 4, dropout: float = 0.0) -> None:
        super().__init__()
        self.width = self.pooled_width = width
        self.factors = Parts({name: nn.Linear(source.pooled_width, rank * width) for name, source in sources.items()})
        for factor in self.factors.values():
            nn.init.ones_(factor.bias)
        self.ranks = nn.Parameter(torch.full((rank,), 1 / rank))  # w
        self.dropout = nn.Dropout(dropout)

    def forward(self, encodings: Mapping[str, Encoding]) -> Fused:
        """pooled [batch, pooled_width] of each stream -> one token, [batch, 1, width]."""
        products = torch.ones((), device=self.ranks.device)
        for name, pooled in vectors(encodings).items():
            factor = self.factors[name](pooled).unflatten(1, (len(self.ranks), self.width))  # [batch, rank, width]
            products = products * torch.where(encodings[name].present[:, None, None], factor, 1)
        fused = torch.einsum("r,brw->bw", self.ranks.to(products.dtype), products)  # [batch, width]
        return one_vector(self.dropout(fused), presence(encodings))
