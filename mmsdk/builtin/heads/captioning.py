"""`captioning`: a text, written token by token by a small decoder that learns from scratch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mmsdk.builtin.heads.generation import Generation
from mmsdk.builtin.heads.writing import WritingHead
from mmsdk.builtin.layers.decoders import Decoder, State
from mmsdk.containers import Encoding


class Captioning(WritingHead):
    """A decoder whose first input is what a linear layer and a norm, whose bias is the start, make of the pooled
    vector of its source. It may look at the tokens.

    decoder: of that width. The rest: see `WritingHead`.
    """

    def __init__(
        self,
        pooled_width: int,
        vocabulary: int,
        decoder: Decoder,
        width: int,
        *,
        dropout: float = 0.0,
        label_smoothing: float = 0.0,
        generation: Generation | None = None,
        metrics: Sequence[str] = (),
    ) -> None:
        super().__init__(vocabulary, label_smoothing=label_smoothing, generation=generation, metrics=metrics)
        self.first = nn.Sequential(nn.Linear(pooled_width, width), nn.LayerNorm(width))
        self.embed = nn.Embedding(vocabulary, width)
        self.decoder = decoder
        self.dropout = nn.Dropout(dropout)
        self.symbols = nn.Linear(width, vocabulary + 1)

    def teach(self, reads: Mapping[str, Encoding], ids: Tensor) -> Tensor:
        (encoding,) = reads.values()
        inputs = torch.cat([self._first(encoding), self.embed(ids)], dim=1)  # [batch, length + 1, width]
        logits, _ = self._logits(inputs, self.decoder.begin(encoding))
        return logits

    def begin(self, reads: Mapping[str, Encoding]) -> tuple[Tensor, State]:
        (encoding,) = reads.values()
        logits, state = self._logits(self._first(encoding), self.decoder.begin(encoding))
        return logits[:, 0], state

    def advance(self, last: Tensor, state: State) -> tuple[Tensor, State]:
        inputs = self.embed(last.masked_fill(last == self.end, 0))[:, None]  # [rows, 1, width]
        logits, state = self._logits(inputs, state)
        return logits[:, 0], state

    def _first(self, encoding: Encoding) -> Tensor:
        first: Tensor = self.first(encoding.pooled)[:, None]  # [batch, 1, width]
        return first

    def _logits(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """inputs [rows, steps, width] -> [rows, steps, symbols] float32, and the state after them."""
        states, state = self.decoder(self.dropout(inputs), state)
        logits: Tensor = self.symbols(self.dropout(states))
        return logits.float(), state
