"""`bag`: the mean of token embeddings."""

from __future__ import annotations

from torch import nn

from mmsdk.builtin.layers.embedding import Tokens
from mmsdk.builtin.layers.pooling import clean, masked_mean
from mmsdk.containers import Encoding, Inputs
from mmsdk.formats import Format
from mmsdk.interfaces import Encoder


class BagEncoder(Encoder):
    """Averages token embeddings and sends the mean through hidden layers (Iyyer et al., "Deep Unordered Composition
    Rivals Syntactic Methods for Text Classification", 2015).

    Tokens are the embeddings themselves: tokens [n, length, width], pooled [n, width].
    """

    def __init__(self, format: Format, width: int = 128, *, layers: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        self.width = self.pooled_width = width
        self.embedding = Tokens(format, width)
        hidden = [part for _ in range(layers) for part in (nn.Linear(width, width), nn.ReLU(), nn.Dropout(dropout))]
        self.hidden = nn.Sequential(*hidden)

    def forward(self, inputs: Inputs) -> Encoding:
        tokens, mask = self.embedding(inputs)
        return clean(tokens, mask, self.hidden(masked_mean(tokens, mask)))
