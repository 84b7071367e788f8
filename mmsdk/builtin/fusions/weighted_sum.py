"""`weighted_sum`: the projected streams in learned proportions."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from mmsdk.builtin.fusions.vectors import one_vector, presence, shares, vectors
from mmsdk.containers import Encoding, Fused
from mmsdk.formats import Source
from mmsdk.interfaces import FeatureFusion
from mmsdk.modules import Parts


class WeightedSum(FeatureFusion):
    """h = sum_m s_m * P_m z_m with s = softmax(w) over the present streams.

    w_m is a number, or with `per_feature` a vector with an entry for each feature, as in Gu and Budhkar, "A Package for
    Learning on Tabular and Text Data with Transformers", 2021 (there without the softmax). The shares are the same for
    all samples that have the same streams; they begin equal, as in `mean`. Absence is exact: the others divide the
    share of an absent stream. One projection per stream.
    """

    def __init__(
        self, sources: Mapping[str, Source], width: int, per_feature: bool = False, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.width = self.pooled_width = width
        self.project = Parts({name: nn.Linear(source.pooled_width, width) for name, source in sources.items()})
        self.preference = nn.Parameter(torch.zeros(len(sources), width if per_feature else 1))  # w
        self.dropout = nn.Dropout(dropout)

    def forward(self, encodings: Mapping[str, Encoding]) -> Fused:
        """pooled [batch, pooled_width] of each stream -> one token, [batch, 1, width].

        weights [batch, streams]: the shares, with `per_feature` their mean over the features.
        """
        present = presence(encodings)  # [batch, streams]
        projected = torch.stack(
            [self.project[name](pooled) for name, pooled in vectors(encodings).items()], dim=1
        )  # [batch, streams, width]
        divided = shares(self.preference.expand(present.shape[0], -1, -1), present)  # [batch, streams, width or 1]
        fused = (projected * divided).sum(dim=1)  # [batch, width]
        return one_vector(self.dropout(fused), present, divided.mean(dim=2))
