"""`mlp`: fully connected layers over each row or step."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from mmsdk.builtin.layers.embedding import Row, Tokens
from mmsdk.builtin.layers.pooling import clean, masked_mean
from mmsdk.containers import Encoding, Inputs
from mmsdk.formats import Format
from mmsdk.interfaces import Encoder


class MlpEncoder(Encoder):
    """A multi-layer perceptron over each step of a sequence, or over the row of a table.

    A sequence gives tokens [n, length, width]; a table gives one token per row, [n, 1, width], which is never absent.
    Pooled [n, width] is the mean of the tokens.
    """

    def __init__(
        self, format: Format, width: int = 128, *, hidden: int = 128, layers: int = 2, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.width = self.pooled_width = width
        self.embedding = (Row if format.kind == "table" else Tokens)(format, hidden)
        widths = [hidden] * layers + [width]  # the embedding is the first of the hidden layers
        self.layers = nn.ModuleList(
            nn.Sequential(nn.GELU(), nn.Dropout(dropout), nn.Linear(before, after))
            for before, after in pairwise(widths)
        )

    @property
    def blocks(self) -> Sequence[nn.Module]:
        return list(self.layers)

    def forward(self, inputs: Inputs) -> Encoding:
        tokens, mask = self.embedding(inputs)  # [n, length, hidden]
        for layer in self.layers:
            tokens = layer(tokens)
        return clean(tokens, mask, masked_mean(tokens, mask))  # [n, length, width]
