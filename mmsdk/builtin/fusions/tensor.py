"""`tensor`: every number of each stream times every number of all others."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from mmsdk.builtin.fusions.vectors import one_vector, presence, vectors
from mmsdk.containers import Encoding, Fused
from mmsdk.formats import Source
from mmsdk.interfaces import FeatureFusion
from mmsdk.modules import Parts


class TensorFusion(FeatureFusion):
    """h = ReLU(W vec([1; P_1 z_1] (x) ... (x) [1; P_M z_M])), the outer product of all streams.

    Zadeh et al., "Tensor Fusion Network for Multimodal Sentiment Analysis", 2017, with an affine P_m to `projection`
    numbers instead of a network per modality. By the ones, the tensor holds the streams alone, in pairs, and so on. An
    absent stream is [1; 0; ...; 0]: what is left are the products without it, so absence is exact. The P_m begin so
    that their results have about the variance of their inputs: products of smaller numbers would soon be too small to
    learn from. W grows with (projection + 1) to the power of the number of streams.
    """

    def __init__(self, sources: Mapping[str, Source], width: int, projection: int = 16, dropout: float = 0.0) -> None:
        super().__init__()
        self.width = self.pooled_width = width
        self.project = Parts({name: nn.Linear(source.pooled_width, projection) for name, source in sources.items()})
        for each in self.project.values():
            nn.init.normal_(each.weight, std=each.in_features**-0.5)
            nn.init.zeros_(each.bias)
        self.join = nn.Linear(
            (projection + 1) ** len(sources), width, bias=False
        )  # the product of all ones is its bias
        self.dropout = nn.Dropout(dropout)

    def forward(self, encodings: Mapping[str, Encoding]) -> Fused:
        """pooled [batch, pooled_width] of each stream -> one token, [batch, 1, width]."""
        present = presence(encodings)  # [batch, streams]
        tensor = torch.ones(present.shape[0], 1, device=present.device)
        for name, pooled in vectors(encodings).items():
            projected = self.project[name](pooled).masked_fill(~encodings[name].present[:, None], 0)
            factor = nn.functional.pad(projected, (1, 0), value=1.0)  # [batch, 1 + projection], the one first
            tensor = (tensor[:, :, None] * factor[:, None]).flatten(1)  # the last stream's numbers vary fastest
        return one_vector(self.dropout(self.join(tensor).relu()), present)
