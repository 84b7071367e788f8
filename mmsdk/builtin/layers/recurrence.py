"""A recurrent network that reads nothing but what is there."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from mmsdk.builtin.layers.pooling import clean, masked_mean
from mmsdk.containers import Encoding
from mmsdk.errors import ConfigError
from mmsdk.export.recurrence import recurrence


class Recurrence(nn.Module):
    """A GRU (Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder", 2014) or an LSTM (Hochreiter
    and Schmidhuber, "Long Short-Term Memory", 1997) over tokens of the width that it also gives.

    pool: "last" joins the last state of each direction, "mean" averages all states.

    Raises:
        ConfigError: the width is odd, so that two directions cannot share it.
    """

    def __init__(
        self,
        width: int,
        *,
        cell: Literal["gru", "lstm"] = "gru",
        layers: int = 1,
        bidirectional: bool = True,
        pool: Literal["last", "mean"] = "last",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        directions = 2 if bidirectional else 1
        if width % directions:
            raise ConfigError(f"Two directions cannot share a width of {width} evenly: make it even")
        self.directions, self.pool = directions, pool
        self.cells = (nn.GRU if cell == "gru" else nn.LSTM)(
            width,
            width // directions,
            layers,
            batch_first=True,
            bidirectional=bidirectional,
            dropout=dropout if layers > 1 else 0.0,  # torch drops between layers only
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, mask: Tensor) -> Encoding:
        """tokens [batch, length, width], mask [batch, length] bool -> an `Encoding`. Gaps are passed over."""
        places = torch.arange(mask.shape[1], device=mask.device)
        order = torch.where(mask, places, places + mask.shape[1]).argsort(
            dim=1
        )  # [batch, length]: what is there comes first
        # Packing wants lengths of at least 1: a row without any token reads one step of zeros.
        states, final = self._read(self.dropout(_taken(tokens, order)), mask.sum(dim=1).clamp(min=1))
        states = _taken(states, order.argsort(dim=1))  # back to its place
        if self.pool == "mean":
            return clean(states, mask, masked_mean(states, mask))
        return clean(states, mask, torch.cat(final[-self.directions :].unbind(), dim=1))

    def _read(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """States [batch, length, width], and the last ones [layers * directions, batch, width / directions]."""
        cells = self.cells
        if torch.compiler.is_exporting():
            lstm, weights = isinstance(cells, nn.LSTM), list(cells._flat_weights)
            found: tuple[Tensor, Tensor] = recurrence(
                tokens, lengths, weights, cells.hidden_size, cells.num_layers, cells.bidirectional, lstm
            )
            return found
        packed = pack_padded_sequence(tokens, lengths.cpu(), batch_first=True, enforce_sorted=False)
        packed_states, last = cells(packed)
        states, _ = pad_packed_sequence(packed_states, batch_first=True, total_length=tokens.shape[1])
        return states, last[0] if isinstance(last, tuple) else last


def _taken(tokens: Tensor, order: Tensor) -> Tensor:
    """tokens [batch, length, width] in the order [batch, length]."""
    return tokens.gather(1, order[..., None].expand_as(tokens))
