"""`fusion.mutan`: a Tucker decomposition of the bilinear form, with a core of low rank."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from mmsdk import Encoding, FeatureFusion, Fused, Parts, Source
from mmsdk_fusion.vectors import OfVectors, one_vector, presence, product


class Tucker(FeatureFusion):
    """h = sum_r (M_1r t_1 + b_1r) * ... * (M_Mr t_M + b_Mr) with t_m = tanh(W_m z_m + c_m), where * is elementwise.

    Ben-younes et al., "MUTAN: Multimodal Tucker Fusion for Visual Question Answering", 2017. W_m are factor matrices;
    the core tensor between the t_m, T_ijk = sum_r M_1r[k, i] M_2r[k, j], has slices of rank `rank`. The head behind is
    the paper's last factor W_o. The b begin so that all products of a feature begin at 1 / rank, hence their sum at 1:
    products of factors near zero have hardly any gradient.

    More streams are more factors. Those of an absent stream are 1: absence is exact. Costs a projection and `rank`
    small ones per stream.
    """

    def __init__(self, sources: Mapping[str, Source], width: int, hidden: int, rank: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.width = self.pooled_width = width
        self.rank = rank
        self.project = OfVectors(sources, hidden)
        self.core = Parts({name: nn.Linear(hidden, rank * width) for name in sources})
        for place, layer in enumerate(self.core.values()):
            nn.init.constant_(layer.bias, 1.0 if place else 1 / rank)
        self.dropout = nn.Dropout(dropout)

    def forward(self, encodings: Mapping[str, Encoding]) -> Fused:
        """pooled [batch, pooled_width] of each stream -> one token, [batch, 1, width]."""
        present = presence(encodings)  # [batch, streams]
        inner = [self.dropout(each.tanh()) for each in self.project(encodings)]  # t_m, [batch, hidden] each
        factors = [layer(each) for layer, each in zip(self.core.values(), inner, strict=True)]
        joined = product(factors, present).unflatten(1, (self.rank, self.width))
        return one_vector(joined.sum(dim=1), present)
