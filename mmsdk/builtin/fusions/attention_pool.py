"""`attention_pool`: the projected streams in proportions that depend on what they hold."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from mmsdk.builtin.fusions.vectors import one_vector, presence, shares, vectors
from mmsdk.containers import Encoding, Fused
from mmsdk.formats import Source
from mmsdk.interfaces import FeatureFusion
from mmsdk.modules import Parts


class AttentionPool(FeatureFusion):
    """h = sum_m s_m v_m with v_m = P_m z_m and s = softmax_m(w . tanh(W v_m + b)) over the present streams.

    The additive attention of Bahdanau et al., "Neural Machine Translation by Jointly Learning to Align and Translate",
    2015, over streams as in Long et al., "Multimodal Keyless Attention Fusion for Video Classification", 2018. A stream
    that looks like noise can be passed over, sample by sample. Each stream is judged on its own, so that a linear head
    cannot learn from it what only two streams together tell (XOR): the sign of such a mean is that of a sum of one term
    per stream. Absence is exact. One projection per stream, and one layer for all of them.
    """

    def __init__(self, sources: Mapping[str, Source], width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.width = self.pooled_width = width
        self.project = Parts({name: nn.Linear(source.pooled_width, width) for name, source in sources.items()})
        self.judge = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1, bias=False))
        self.dropout = nn.Dropout(dropout)

    def forward(self, encodings: Mapping[str, Encoding]) -> Fused:
        """pooled [batch, pooled_width] of each stream -> one token, [batch, 1, width].

        weights [batch, streams]: the shares.
        """
        present = presence(encodings)  # [batch, streams]
        projected = torch.stack(
            [self.project[name](pooled) for name, pooled in vectors(encodings).items()], dim=1
        )  # [batch, streams, width]
        divided = shares(self.judge(projected), present)  # [batch, streams, 1]
        fused = (projected * divided).sum(dim=1)  # [batch, width]
        return one_vector(self.dropout(fused), present, divided[..., 0])
