"""`fusion.hierarchical`: pairs of streams first, then all pairs."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import torch
from torch import Tensor, nn

from mmsdk import Encoding, FeatureFusion, Fused, Parts, Source
from mmsdk_fusion.vectors import OfVectors, one_vector, presence


class Hierarchical(FeatureFusion):
    """g_m = tanh(P_m z_m), i_mn = tanh(w_m * g_m + w_n * g_n + b_mn) of each two, h = tanh(sum v_mn * i_mn + b).

    Majumder et al., "Multimodal Sentiment Analysis Using Hierarchical Fusion with Context Modeling", 2018, for any
    number of streams: each feature is joined with the same feature of the others (* is elementwise), first in pairs,
    then over all pairs. The paper's recurrent layers over the utterances of a video are left to encoders and to
    `fusion.aligned`.

    A pair is there where both its streams are, so absence is exact; of a row with a single stream, g_m is the result.
    Costs M (M - 1) / 2 pairs, each of a few numbers per feature.
    """

    def __init__(self, sources: Mapping[str, Source], width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.width = self.pooled_width = width
        self.project = OfVectors(sources, width)
        names = list(sources)
        self.pairs = Parts(
            {one: Parts({other: _Pair(width) for other in names[place + 1 :]}) for place, one in enumerate(names)}
        )
        self.bias = nn.Parameter(torch.zeros(width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, encodings: Mapping[str, Encoding]) -> Fused:
        """pooled [batch, pooled_width] of each stream -> one token, [batch, 1, width]."""
        present = presence(encodings)  # [batch, streams]
        own = {name: vector.tanh() for name, vector in zip(encodings, self.project(encodings), strict=True)}
        total: Tensor = self.bias.expand(len(present), -1)
        for one, other in combinations(encodings, 2):
            both = encodings[one].present & encodings[other].present
            total = total + self.pairs[one][other](own[one], own[other]).masked_fill(~both[:, None], 0)
        single = torch.stack(list(own.values()), dim=1).masked_fill(~present[..., None], 0).sum(dim=1)
        alone = present.sum(dim=1, keepdim=True) == 1
        return one_vector(self.dropout(torch.where(alone, single, total.tanh())), present)


class _Pair(nn.Module):
    """v * tanh(w_1 * x + w_2 * y + b), elementwise."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(3, width).uniform_(-1, 1))  # w_1, w_2, v
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """x and y [batch, width] -> [batch, width]."""
        first, second, out = self.weight
        return out * (first * x + second * y + self.bias).tanh()
