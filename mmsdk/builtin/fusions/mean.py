"""`mean`: the mean of the projected streams."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from mmsdk.builtin.fusions.vectors import one_vector, presence, vectors
from mmsdk.containers import Encoding, Fused
from mmsdk.formats import Source
from mmsdk.interfaces import FeatureFusion
from mmsdk.modules import Parts


class Mean(FeatureFusion):
    """h = sum_m a_m P_m z_m / sum_m a_m, where a_m is 1 for a present stream and 0 for an absent one.

    The plainest strategy and a baseline for all others: the streams add up, so that no linear head can learn
    from it what only two streams together tell (XOR). Absence is exact. One projection per stream.
    """

    def __init__(self, sources: Mapping[str, Source], width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.width = self.pooled_width = width
        self.project = Parts({name: nn.Linear(source.pooled_width, width) for name, source in sources.items()})
        self.dropout = nn.Dropout(dropout)

    def forward(self, encodings: Mapping[str, Encoding]) -> Fused:
        """pooled [batch, pooled_width] of each stream -> one token, [batch, 1, width].

        weights [batch, streams]: equal shares of the present streams.
        """
        present = presence(encodings)  # [batch, streams]
        projected = torch.stack(
            [self.project[name](pooled) for name, pooled in vectors(encodings).items()], dim=1
        )  # [batch, streams, width]
        weights = present / present.sum(dim=1, keepdim=True).clamp(min=1)  # [batch, streams]
        fused = (projected * weights[..., None]).sum(dim=1)  # [batch, width]
        return one_vector(self.dropout(fused), present, weights)
