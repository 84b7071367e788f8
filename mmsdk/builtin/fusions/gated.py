"""`gated`: the gated multimodal unit."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from mmsdk.builtin.fusions.vectors import one_vector, presence, vectors
from mmsdk.containers import Encoding, Fused
from mmsdk.formats import Source
from mmsdk.interfaces import FeatureFusion
from mmsdk.modules import Parts


class Gated(FeatureFusion):
    """h = sum_m g_m * tanh(W_m z_m) with g_m = sigmoid(V_m [z_1; ...; z_M]), all with biases.

    Each stream has a gate per feature, and all streams have a say in it (Arevalo et al., "Gated Multimodal
    Units for Information Fusion", 2017). An absent z_m is zero, hence adds nothing to any gate, and its own
    gate is shut: absence is exact. The gates' weights grow with the number of streams times the sum of their
    widths.
    """

    def __init__(self, sources: Mapping[str, Source], width: int, dropout: float = 0.0) -> None:
        super().__init__()
        total = sum(source.pooled_width for source in sources.values())
        self.width = self.pooled_width = width
        self.values = Parts({name: nn.Linear(source.pooled_width, width) for name, source in sources.items()})
        self.gates = nn.Linear(total, len(sources) * width)  # V_1, ..., V_M one below the other
        self.dropout = nn.Dropout(dropout)

    def forward(self, encodings: Mapping[str, Encoding]) -> Fused:
        """pooled [batch, pooled_width] of each stream -> one token, [batch, 1, width].

        weights [batch, streams]: each stream's mean gate, as a share of all; zeros where nothing is present.
        """
        present = presence(encodings)  # [batch, streams]
        pooled = vectors(encodings)
        values = torch.stack([self.values[name](vector).tanh() for name, vector in pooled.items()], dim=1)
        gates = self.gates(torch.cat(list(pooled.values()), dim=1)).sigmoid()  # [batch, streams * width]
        gates = gates.unflatten(1, (len(pooled), self.width)).masked_fill(~present[..., None], 0)
        fused = (gates * values).sum(dim=1)  # [batch, streams, width] -> [batch, width]
        opened = gates.float().mean(dim=2)  # [batch, streams]
        weights = opened / opened.sum(dim=1, keepdim=True).clamp(min=1e-12)
        return one_vector(self.dropout(fused), present, weights)
