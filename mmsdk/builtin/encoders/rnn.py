"""`rnn`: step by step."""

from __future__ import annotations

from typing import Literal

from mmsdk.builtin.layers.embedding import Tokens
from mmsdk.builtin.layers.recurrence import Recurrence
from mmsdk.containers import Encoding, Inputs
from mmsdk.formats import Format
from mmsdk.interfaces import Encoder


class RnnEncoder(Encoder):
    """A recurrent network over embedded tokens; see `Recurrence` for the options.

    Tokens [n, length, width] are its states; pooled [n, width].
    """

    def __init__(
        self,
        format: Format,
        width: int = 128,
        *,
        cell: Literal["gru", "lstm"] = "gru",
        layers: int = 1,
        bidirectional: bool = True,
        pool: Literal["last", "mean"] = "last",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.width = self.pooled_width = width
        self.embedding = Tokens(format, width)
        self.recurrence = Recurrence(
            width, cell=cell, layers=layers, bidirectional=bidirectional, pool=pool, dropout=dropout
        )

    def forward(self, inputs: Inputs) -> Encoding:
        tokens, mask = self.embedding(inputs)
        encoding: Encoding = self.recurrence(tokens, mask)
        return encoding
