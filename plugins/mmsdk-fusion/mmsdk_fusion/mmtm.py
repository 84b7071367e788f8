"""`fusion.mmtm`: the multimodal transfer module."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from mmsdk import Encoding, FeatureFusion, Fused, Parts, Source
from mmsdk_fusion.vectors import OfTokens, mean, presence, vector_and_tokens


class TransferModule(FeatureFusion):
    """Squeeze and excitation across streams: H_m -> 2 sigmoid(E_m) * H_m with E_m = W_m Z + b_m and

    Z = relu(W [s_1; ...; s_M] + b), where s_m is the mean of the tokens H_m. Joze et al., "MMTM: Multimodal Transfer
    Module for CNN Fusion", 2020: all streams together say which features of each one count. Z is a fourth as wide as
    all s_m together, as in the paper, which goes on with the streams apart; here the fused vector is the mean of their
    mean tokens over the present ones. Tokens are projected to one width before.

    The s_m of an absent stream is zero, and it does not count in the mean, as if it were not there. (Built
    for fewer streams, Z would be narrower and begin otherwise: hence absence is called independent.) Costs the square
    of M in weights, and next to nothing per token.
    """

    def __init__(self, sources: Mapping[str, Source], width: int, squeezed: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.width = self.pooled_width = width
        self.project = OfTokens(sources, width)
        self.squeeze = nn.Sequential(nn.Linear(len(sources) * width, squeezed), nn.ReLU(), nn.Dropout(dropout))
        self.excite = Parts({name: nn.Linear(squeezed, width) for name in sources})

    def forward(self, encodings: Mapping[str, Encoding]) -> Fused:
        """tokens [batch, length_m, width_m] of each stream -> tokens [batch, 1 + sum of lengths, width]."""
        tokens = self.project(encodings)
        squeezed = [mean(own, encodings[name].mask) for name, own in tokens.items()]  # [batch, width] each
        joined = self.squeeze(torch.cat(squeezed, dim=1))  # Z, [batch, squeezed]
        shares = {name: 2 * self.excite[name](joined).sigmoid() for name in tokens}  # [batch, width] each
        excited = torch.stack([shares[name] * own for name, own in zip(tokens, squeezed, strict=True)], dim=1)
        tokens = {name: own * shares[name][:, None] for name, own in tokens.items()}
        return vector_and_tokens(mean(excited, presence(encodings)), tokens, encodings)
