"""`product`: the elementwise product of the projected streams."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from mmsdk.builtin.fusions.vectors import one_vector, presence, vectors
from mmsdk.containers import Encoding, Fused
from mmsdk.formats import Source
from mmsdk.interfaces import FeatureFusion
from mmsdk.modules import Parts


class Product(FeatureFusion):
    """h = prod_m (P_m z_m)^{a_m}, elementwise, where a_m is 1 for a present stream and 0 for an absent one.

    Early models that answer questions about images join the two like this (Antol et al., "VQA: Visual
    Question Answering", 2015). The P_m are affine, and their biases begin as one: a product of factors near
    zero has hardly any gradient, and training would stall. Absence is exact: an absent factor is one. One
    projection per stream.
    """

    def __init__(self, sources: Mapping[str, Source], width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.width = self.pooled_width = width
        self.project = Parts({name: nn.Linear(source.pooled_width, width) for name, source in sources.items()})
        for projection in self.project.values():
            nn.init.ones_(projection.bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, encodings: Mapping[str, Encoding]) -> Fused:
        """pooled [batch, pooled_width] of each stream -> one token, [batch, 1, width]."""
        fused = torch.ones((), device=next(iter(encodings.values())).pooled.device)
        for name, pooled in vectors(encodings).items():
            factor = self.project[name](pooled)  # [batch, width]
            fused = fused * torch.where(encodings[name].present[:, None], factor, 1)
        return one_vector(self.dropout(fused), presence(encodings))
