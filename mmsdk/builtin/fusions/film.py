"""`film`: one stream modulates another one's tokens."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mmsdk.builtin.fusions.vectors import vector_and_tokens
from mmsdk.builtin.layers.pooling import clean, masked_max, masked_mean
from mmsdk.containers import Encoding, Fused
from mmsdk.formats import Source
from mmsdk.interfaces import FeatureFusion


class FiLM(FeatureFusion):
    """Feature-wise linear modulation: x -> gamma(z) * x + beta(z).

    Perez et al., "FiLM: Visual Reasoning with a General Conditioning Layer", 2018. The tokens of `target`
    pass residual blocks, in each of which the pooled vector z of `condition` scales and shifts the features.
    The fused vector is ReLU(W [mean of the tokens; maximum of the tokens; z] + b). One linear layer computes
    all gammas and betas from z; as in the paper it computes gamma - 1, so that nothing is scaled away at the
    beginning.

    Without the condition gamma is 1 and beta is 0; without the target only z is left. What stands in an
    absent slot does not matter. Two products of matrices per token and block; streams beside the two are not
    read.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        target: str,
        condition: str,
        width: int,
        layers: int = 2,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.width = self.pooled_width = width
        self.target, self.condition = target, condition
        pooled = sources[condition].pooled_width
        self.project = nn.Linear(sources[target].width, width)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(layers))
        self.modulation = nn.Linear(pooled, layers * 2 * width)
        self.join = nn.Sequential(nn.Linear(2 * width + pooled, width), nn.ReLU(), nn.Dropout(dropout))

    def forward(self, encodings: Mapping[str, Encoding]) -> Fused:
        """The target's tokens [batch, length, ...] -> [batch, 1 + length, width], the fused vector first."""
        target, condition = clean(*encodings[self.target]), clean(*encodings[self.condition])
        modulation = self.modulation(condition.pooled)  # [batch, layers * 2 * width]
        modulation = modulation.masked_fill(~condition.present[:, None], 0)
        tokens = self.project(target.tokens)  # [batch, length, width]
        for block, part in zip(self.blocks, modulation.chunk(len(self.blocks), dim=1), strict=True):
            tokens = block(tokens, part)
        mean, largest = masked_mean(tokens, target.mask), masked_max(tokens, target.mask)
        fused = self.join(torch.cat([mean, largest, condition.pooled], dim=1))  # [batch, width]
        present = target.present | condition.present
        return Fused(vector_and_tokens(fused, tokens, target.mask, present))


class _Block(nn.Module):
    """x + ReLU(gamma * norm(W_2 ReLU(W_1 x)) + beta), for each token."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, elementwise_affine=False)  # the modulation is its affine part

    def forward(self, tokens: Tensor, modulation: Tensor) -> Tensor:
        """tokens [batch, length, width], modulation [batch, 2 * width] -> [batch, length, width]."""
        gamma, beta = modulation[:, None].chunk(2, dim=2)  # [batch, 1, width]
        changed: Tensor = self.norm(self.second(self.first(tokens).relu()))
        return tokens + ((1 + gamma) * changed + beta).relu()
