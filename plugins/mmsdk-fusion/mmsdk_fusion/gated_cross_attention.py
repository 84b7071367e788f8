"""`fusion.gated_cross_attention`: one stream reads the others through gates that open in training."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mmsdk import CrossBlock, Encoding, FeatureFusion, Fused, Source, TransformerBlock
from mmsdk_fusion.vectors import OfTokens, vector_and_tokens


class GatedCrossAttention(FeatureFusion):
    """Per layer: y + tanh(a) attention(y, x), then y + tanh(b) feedforward(y), then a layer of self-attention.

    Alayrac et al., "Flamingo: a Visual Language Model for Few-Shot Learning", 2022. y are the tokens of the main
    stream behind a learned summary token, which becomes the fused vector; x are those of all others, each with a
    learned vector of its stream. a and b begin at `gate`. With 0, as in the paper, the main stream is read as if
    nothing else were there, and in the first step only a and b learn; the least bit more lets all learn at once.

    Absent tokens are in neither y nor x, as if they were not there; without the main stream, the summary token reads
    alone, and what stands in the slot does not matter: absence is independent. Costs the length
    of y times that of all tokens: linear in the streams beside the main one.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        main: str,
        width: int,
        layers: int = 2,
        heads: int = 4,
        gate: float = 1e-3,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.width = self.pooled_width = width
        self.main = main
        self.project = OfTokens(sources, width)
        self.summary = nn.Parameter(0.02 * torch.randn(width))
        self.kinds = nn.Parameter(0.02 * torch.randn(len(sources), width))
        self.cross = nn.ModuleList(_Gated(width, heads, dropout, gate) for _ in range(layers))
        self.own = nn.ModuleList(TransformerBlock(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, encodings: Mapping[str, Encoding]) -> Fused:
        """tokens [batch, length_m, width_m] of each stream -> tokens [batch, 1 + the main one's length, width]."""
        given = {
            name: tokens + kind
            for kind, (name, tokens) in zip(self.kinds, self.project(encodings).items(), strict=True)
        }
        masks = {name: encoding.mask for name, encoding in encodings.items()}
        y, mask = given.pop(self.main), masks.pop(self.main)
        tokens = torch.cat([self.summary.expand(len(y), 1, -1), y], dim=1)  # [batch, 1 + length, width]
        seen = torch.cat([torch.ones_like(mask[:, :1]), mask], dim=1)
        others, other_mask = torch.cat(list(given.values()), dim=1), torch.cat(list(masks.values()), dim=1)
        for cross, own in zip(self.cross, self.own, strict=True):
            tokens = own(cross(tokens, others, other_mask), seen)
        summary, y = self.norm(tokens).split([1, mask.shape[1]], dim=1)
        return Fused(vector_and_tokens(summary[:, 0], {self.main: y}, encodings).encoding)


class _Gated(nn.Module):
    """Attention and two layers, each through a gate."""

    def __init__(self, width: int, heads: int, dropout: float, gate: float) -> None:
        super().__init__()
        self.block = CrossBlock(width, heads, dropout)
        self.attention_gate, self.feedforward_gate = (nn.Parameter(torch.full((1,), gate)) for _ in range(2))

    def forward(self, tokens: Tensor, others: Tensor, mask: Tensor) -> Tensor:
        """tokens [batch, q, width], others [batch, k, width], mask [batch, k] -> [batch, q, width]."""
        block = self.block
        found = block.attention(block.query_norm(tokens), block.context_norm(others), mask)
        tokens = tokens + self.attention_gate.tanh() * block.dropout(found)
        changed: Tensor = block.dropout(block.feedforward(block.feedforward_norm(tokens)))
        return tokens + self.feedforward_gate.tanh() * changed
