"""`transformer`: tokens that attend to each other."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from mmsdk.builtin.layers.attention import TransformerBlock
from mmsdk.builtin.layers.embedding import Tokens
from mmsdk.builtin.layers.packing import packing
from mmsdk.builtin.layers.pooling import clean, masked_mean
from mmsdk.builtin.layers.positions import sinusoidal
from mmsdk.containers import Encoding, Inputs
from mmsdk.formats import Format
from mmsdk.interfaces import Encoder


class TransformerEncoder(Encoder):
    """Self-attention blocks over embedded tokens (Vaswani et al., "Attention Is All You Need", 2017).

    Tokens [n, length, width] of any length; pooled [n, width] is their mean.
    """

    def __init__(
        self, format: Format, width: int = 128, *, layers: int = 2, heads: int = 4, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.width = self.pooled_width = width
        self.embedding = Tokens(format, width)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(TransformerBlock(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    @property
    def blocks(self) -> Sequence[nn.Module]:
        return list(self.layers)

    def forward(self, inputs: Inputs) -> Encoding:
        mask = inputs["mask"]
        packed = packing(mask, self.width)
        tokens, _ = self.embedding(packed.pack(inputs) if packed else inputs)  # [n, length, width]
        places = sinusoidal(mask.shape[1], self.width, like=tokens)  # [length, width]
        tokens = self.dropout(tokens + (places[packed.columns] if packed else places))
        for layer in self.layers:
            tokens = layer(tokens, packed or mask)
        tokens = self.norm(tokens)
        tokens = packed.unpack(tokens) if packed else tokens
        return clean(tokens, mask, masked_mean(tokens, mask))
