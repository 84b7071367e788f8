"""`fusion.multiplicative_interaction`: a bilinear form of each two streams, in full."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import torch
from torch import Tensor, nn

from mmsdk import Encoding, FeatureFusion, Fused, Parts, Source
from mmsdk_fusion.vectors import one_vector, presence, vectors


class MultiplicativeInteraction(FeatureFusion):
    """h = sum over pairs of z_m W_mn z_n + sum_m U_m z_m + b, where each W_mn is a tensor [width_m, width_n, width].

    Jayakumar et al., "Multiplicative Interactions and Where to Find Them", 2020, who show that it holds gates, FiLM
    and hypernetworks as special cases; theirs is that of two streams, z W x + U z + V x + b. Here each two of M have
    one. The numbers of W begin so that the form of two vectors of variance 1 has that of one of them.

    All terms of an absent stream are zero: absence is exact. Weights grow with the product of two widths and the
    fused one, times M (M - 1) / 2: make the encoders narrow, or use `fusion.mlb`, `fusion.mutan` or `fusion.mfb`.
    """

    def __init__(self, sources: Mapping[str, Source], width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.width = self.pooled_width = width
        self.linear = nn.Linear(sum(source.pooled_width for source in sources.values()), width)  # U_1, ..., U_M and b
        self.pairs = Parts(
            {
                one: Parts(
                    {
                        other: _Form(sources[one].pooled_width, sources[other].pooled_width, width)
                        for other in list(sources)[place + 1 :]
                    }
                )
                for place, one in enumerate(sources)
            }
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, encodings: Mapping[str, Encoding]) -> Fused:
        """pooled [batch, pooled_width] of each stream -> one token, [batch, 1, width]."""
        pooled = vectors(encodings)
        fused = self.linear(torch.cat(list(pooled.values()), dim=1))  # [batch, width]
        for one, other in combinations(pooled, 2):
            fused = fused + self.pairs[one][other](pooled[one], pooled[other])
        return one_vector(self.dropout(fused), presence(encodings))


class _Form(nn.Module):
    """x W y for each of `width` matrices."""

    def __init__(self, first: int, second: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(first, second, width) * (first * second) ** -0.5)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """x [batch, first], y [batch, second] -> [batch, width]."""
        rows = (x @ self.weight.flatten(1)).unflatten(1, self.weight.shape[1:])  # [batch, second, width]
        return (y[:, None] @ rows)[:, 0]
