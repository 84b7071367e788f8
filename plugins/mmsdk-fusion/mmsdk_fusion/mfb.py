"""`fusion.mfb`: factorised bilinear pooling, and its cascade MFH."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from mmsdk import Encoding, FeatureFusion, Fused, Source
from mmsdk_fusion.vectors import OfVectors, one_vector, presence, product, signed_root


class FactorizedBilinear(FeatureFusion):
    """h = SumPool_k(U_1 z_1 * ... * U_M z_M), then signed square root and the length 1; * is elementwise.

    Yu et al., "Multi-modal Factorized Bilinear Pooling with Co-Attention Learning for Visual Question Answering", 2017.
    Each number of h is a bilinear form of rank k = `pool`: the sum over k neighbours of the products. Dropout is
    between product and sum. With `orders` above 1 it is MFH, Yu et al., "Beyond Bilinear: Generalized Multimodal
    Factorized High-order Pooling for Visual Question Answering", 2018: the products of each block are multiplied with
    those of the one before, and h is all blocks side by side, `orders` * `width` numbers.

    The U_m have biases, which begin as 1, since a product of factors near zero has hardly any gradient. More streams
    are more factors. That of an absent stream is 1: absence is exact. Costs a projection per stream and order.
    """

    def __init__(
        self, sources: Mapping[str, Source], width: int, pool: int, orders: int = 1, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.width = self.pooled_width = orders * width
        self.pool = pool
        self.blocks = nn.ModuleList(OfVectors(sources, width * pool, bias=1.0) for _ in range(orders))
        self.dropout = nn.Dropout(dropout)

    def forward(self, encodings: Mapping[str, Encoding]) -> Fused:
        """pooled [batch, pooled_width] of each stream -> one token, [batch, 1, orders * width]."""
        present = presence(encodings)  # [batch, streams]
        expanded, orders = torch.ones((), device=present.device), []
        for factors in self.blocks:
            expanded = expanded * self.dropout(product(factors(encodings), present))  # [batch, width * pool]
            orders.append(signed_root(expanded.unflatten(1, (-1, self.pool)).sum(dim=2)))  # [batch, width]
        return one_vector(torch.cat(orders, dim=1), present)
