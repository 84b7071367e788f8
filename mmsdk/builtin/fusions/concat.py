"""`concat`: all pooled vectors side by side, and one layer over them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mmsdk.builtin.fusions.vectors import one_vector, presence
from mmsdk.containers import Encoding, Fused
from mmsdk.formats import Source
from mmsdk.interfaces import FeatureFusion


class Concat(FeatureFusion):
    """h = ReLU(W [z_1; ...; z_M] + b): one layer over all streams side by side.

    Such a shared layer over several modalities is the idea of Ngiam et al., "Multimodal Deep Learning", 2011.
    A learned vector e_m stands in for an absent z_m, so absence is imputed. One product of matrices; its
    weights grow with the sum of the streams' widths.
    """

    def __init__(self, sources: Mapping[str, Source], width: int, dropout: float = 0.0) -> None:
        super().__init__()
        total = sum(source.pooled_width for source in sources.values())
        self.width = self.pooled_width = width
        self.absent = nn.Parameter(torch.zeros(total))  # e_1, ..., e_M side by side
        self.join = nn.Sequential(nn.Linear(total, width), nn.ReLU(), nn.Dropout(dropout))

    def forward(self, encodings: Mapping[str, Encoding]) -> Fused:
        """pooled [batch, pooled_width] of each stream -> one token, [batch, 1, width]."""
        pooled = torch.cat([encoding.pooled for encoding in encodings.values()], dim=1)  # [batch, total]
        there = torch.cat([_wide(encoding) for encoding in encodings.values()], dim=1)  # [batch, total]
        fused = self.join(torch.where(there, pooled, self.absent))  # [batch, width]
        return one_vector(fused, presence(encodings))


def _wide(encoding: Encoding) -> Tensor:
    """Presence for each number of the pooled vector: [batch, pooled_width] bool."""
    return encoding.present[:, None].expand_as(encoding.pooled)
