"""Ghosal et al. 2018, "Contextual Inter-modal Attention for Multi-modal Sentiment Analysis": MMMU-BA."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import torch
from torch import Tensor, nn

from mmsdk import Encoding, FeatureFusion, Fused, Source
from mmsdk_fusion.steps import aligned, of_steps


class BimodalAttention(FeatureFusion):
    """Multi-modal multi-utterance bi-modal attention: for each two streams X, Y [length, width] of dense tokens

    M = X Y', N = softmax(M) by rows, O = N Y, A = O * X; and the same with X and Y exchanged. A step's result is
    [A of each two streams in both directions; the dense tokens of each stream]. Steps that are absent attend to
    nothing, are attended to by none, and leave zeros.

    Tokens [batch, length, (2 * pairs + streams) * width], one per step where any stream is; pooled is their mean.
    """

    def __init__(self, sources: Mapping[str, Source], width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.pairs = list(combinations(range(len(sources)), 2))
        self.width = self.pooled_width = (2 * len(self.pairs) + len(sources)) * width
        self.dense = nn.ModuleList(nn.Linear(source.width, width) for source in sources.values())
        self.dropout = nn.Dropout(dropout)

    def forward(self, encodings: Mapping[str, Encoding]) -> Fused:
        tokens, masks = aligned(encodings)
        dense = [
            self.dropout(layer(self.dropout(own)).tanh()).masked_fill(~mask[..., None], 0)
            for layer, own, mask in zip(self.dense, tokens, masks, strict=True)
        ]  # [batch, length, width] each
        parts = []
        for one, other in self.pairs:
            matching = dense[one] @ dense[other].transpose(1, 2)  # [batch, length, length]
            parts.append(_attended(matching, dense[other], masks[other]) * dense[one])
            parts.append(_attended(matching.transpose(1, 2), dense[one], masks[one]) * dense[other])
        return Fused(of_steps(torch.cat([*parts, *dense], dim=-1), masks.any(dim=0)))


def _attended(matching: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
    """matching [batch, length, length], tokens [batch, length, width] -> their means by softmax, zeros where all are
    absent."""
    lowest = torch.finfo(matching.dtype).min  # finite: a row that is nothing but -inf has no gradient
    shares = matching.masked_fill(~mask[:, None], lowest).softmax(dim=-1)
    return shares.to(tokens.dtype) @ tokens  # absent tokens are zeros
