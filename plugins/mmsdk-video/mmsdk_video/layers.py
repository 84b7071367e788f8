"""What the encoders share: order in time, and one vector per clip. Nothing here depends on the padding."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class SelfAttention(nn.Module):
    """Steps that know their place attend to each other (Vaswani et al., "Attention Is All You Need", 2017)."""

    def __init__(self, width: int, *, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(width, heads, 4 * width, dropout, "gelu", batch_first=True, norm_first=True)
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)

    @property
    def blocks(self) -> Sequence[nn.Module]:
        return list(self.layers)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """tokens [n, length, width], mask [n, length] bool -> [n, length, width]."""
        tokens = tokens + positions(tokens)
        # A row without any token attends to its padding: attention to nothing would be NaN.
        ignored = ~mask & mask.any(dim=1, keepdim=True)
        for layer in self.layers:
            tokens = layer(tokens, src_key_padding_mask=ignored)
        normed: Tensor = self.norm(tokens)
        return normed


class Recurrence(nn.Module):
    """Steps are read both ways by a GRU (Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder",
    2014)."""

    def __init__(self, width: int, *, layers: int, dropout: float) -> None:
        super().__init__()
        between = dropout if layers > 1 else 0.0
        self.cells = nn.GRU(width, width // 2, layers, batch_first=True, bidirectional=True, dropout=between)

    @property
    def blocks(self) -> Sequence[nn.Module]:
        return [self.cells]

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """tokens [n, length, width], mask [n, length] bool -> [n, length, width]."""
        # Packed, so that it never reads padding; a row without any token reads one step.
        lengths = mask.sum(dim=1).clamp(min=1).cpu()
        packed = pack_padded_sequence(tokens, lengths, batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.cells(packed)[0], batch_first=True, total_length=mask.shape[1])
        return states


def positions(tokens: Tensor) -> Tensor:
    """Sines and cosines of the place, [length, width]."""
    length, width = tokens.shape[1:]
    falling = torch.exp(torch.arange(0, width, 2, device=tokens.device) * (-math.log(10_000) / width))
    angles = torch.arange(length, device=tokens.device)[:, None] * falling  # [length, width / 2]
    return torch.cat([angles.sin(), angles.cos()], dim=1)[:, :width].to(tokens.dtype)
