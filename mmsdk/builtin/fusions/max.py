"""`max`: the largest of the projected streams, feature by feature."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from mmsdk.builtin.fusions.vectors import one_vector, presence, vectors
from mmsdk.builtin.layers.pooling import masked_max
from mmsdk.containers import Encoding, Fused
from mmsdk.formats import Source
from mmsdk.interfaces import FeatureFusion
from mmsdk.modules import Parts


class Max(FeatureFusion):
    """h = max_m P_m z_m over the present streams, elementwise.

    As a pooling over a set in Zaheer et al., "Deep Sets", 2017, and over views in Su et al., "Multi-view Convolutional
    Neural Networks for 3D Shape Recognition", 2015. The strongest evidence counts and is not diluted by the others.
    Absence is exact. One projection per stream.
    """

    def __init__(self, sources: Mapping[str, Source], width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.width = self.pooled_width = width
        self.project = Parts({name: nn.Linear(source.pooled_width, width) for name, source in sources.items()})
        self.dropout = nn.Dropout(dropout)

    def forward(self, encodings: Mapping[str, Encoding]) -> Fused:
        """pooled [batch, pooled_width] of each stream -> one token, [batch, 1, width]."""
        present = presence(encodings)  # [batch, streams]
        projected = torch.stack(
            [self.project[name](pooled) for name, pooled in vectors(encodings).items()], dim=1
        )  # [batch, streams, width]
        return one_vector(self.dropout(masked_max(projected, present)), present)
