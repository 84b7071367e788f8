"""Networks that write one symbol after the other, and may look at the tokens of an encoding."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from mmsdk.builtin.layers.attention import Attention, FeedForward
from mmsdk.builtin.layers.positions import sinusoidal
from mmsdk.containers import Encoding

State = tuple[Tensor, ...]
"""What a decoder remembers of the steps so far and of the encoding: [rows, ...] each, so that rows can be chosen."""
Pair = tuple[Tensor, Tensor]
"""A key and a value, [rows, heads, length, width / heads] each."""


class Decoder(nn.Module, ABC):
    """Reads inputs in order. All steps at once give what single steps give, each with the state of the one before."""

    @abstractmethod
    def begin(self, encoding: Encoding) -> State:
        """The state before the first step."""

    @abstractmethod
    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """inputs [rows, steps, width], the next ones after `state` -> [rows, steps, width], and the state after them.

        What a step gives depends on no later input.
        """


class RecurrentDecoder(Decoder):
    """An LSTM, as in Vinyals et al., "Show and Tell: A Neural Image Caption Generator", 2015.

    attention: whether each state also looks at the tokens of the encoding, before the next symbol is chosen: tanh(W
    [state; found]). As in Luong et al., "Effective Approaches to Attention-based Neural Machine Translation", 2015, the
    state comes first, so that training runs over all steps in one call; in Xu et al., "Show, Attend and Tell", 2015, it
    comes after. tokens: the width of those tokens.
    """

    def __init__(
        self, tokens: int, width: int, *, layers: int = 1, heads: int = 4, dropout: float = 0.0, attention: bool = True
    ) -> None:
        super().__init__()
        self.cells = nn.LSTM(width, width, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
        self.memory = _memory(tokens, width) if attention else None
        self.attention = Attention(width, heads, dropout) if attention else None
        self.join = nn.Linear(2 * width, width) if attention else None
        self.norm = nn.LayerNorm(width)  # states are small at first: without it many epochs pass before they matter

    def begin(self, encoding: Encoding) -> State:
        blank = encoding.pooled.new_zeros(len(encoding.pooled), self.cells.num_layers, self.cells.hidden_size)
        if self.memory is None or self.attention is None:
            return blank, blank
        return blank, blank, encoding.mask, *self.attention.keys_and_values(self.memory(encoding.tokens))

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        # Torch wants [layers, rows, width], in one piece.
        last = tuple(part.transpose(0, 1).to(inputs.dtype).contiguous() for part in state[:2])
        states, new = self.cells(inputs, last)  # [rows, steps, width]
        if self.attention is not None and self.join is not None:
            mask, key, value = state[2:]
            found = self.attention.look_up(states, key, value, mask)
            states = self.join(torch.cat([states, found], dim=2)).tanh()
        return self.norm(states), (*(part.transpose(0, 1) for part in new), *state[2:])


class TransformerDecoder(Decoder):
    """Blocks that look back at earlier steps and across to the tokens of the encoding.

    Vaswani et al., "Attention Is All You Need", 2017, normalising before each part as in `TransformerBlock`. The state
    holds the keys and values of all steps so far, so that a new step costs one look at them. tokens: the width of the
    encoding's tokens.
    """

    def __init__(self, tokens: int, width: int, *, layers: int = 2, heads: int = 4, dropout: float = 0.0) -> None:
        super().__init__()
        self.width = width
        self.memory = _memory(tokens, width)
        self.layers = nn.ModuleList(DecoderBlock(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def begin(self, encoding: Encoding) -> State:
        memory, parts = self.memory(encoding.tokens), [encoding.mask]
        for layer in self.layers:
            assert isinstance(layer, DecoderBlock)
            key, value = layer.across.keys_and_values(memory)  # [rows, heads, tokens, d]
            parts += [key, value, key[:, :, :0], value[:, :, :0]]
        return tuple(parts)

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        mask, *rest = state
        past, steps = rest[2].shape[2], inputs.shape[1]
        places = torch.arange(past + steps, device=inputs.device)
        earlier = (places <= places[past:, None])[None]  # [1, steps, past + steps]
        states, parts = inputs + sinusoidal(past + steps, self.width, like=inputs)[past:], [mask]
        for number, layer in enumerate(self.layers):
            seen_key, seen_value, key, value = rest[4 * number : 4 * number + 4]
            states, back = layer(states, (seen_key, seen_value), mask, (key, value), earlier)
            parts += [seen_key, seen_value, *back]
        return self.norm(states), tuple(parts)


class DecoderBlock(nn.Module):
    """A look back, a look across, and two layers over each step, each added to what came in."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.back_norm = nn.LayerNorm(width)
        self.back = Attention(width, heads, dropout)
        self.across_norm = nn.LayerNorm(width)
        self.across = Attention(width, heads, dropout)
        self.feedforward_norm = nn.LayerNorm(width)
        self.feedforward = FeedForward(width, 4 * width, dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Tensor, across: Pair, mask: Tensor, back: Pair, earlier: Tensor) -> tuple[Tensor, Pair]:
        """states [rows, steps, width] -> the same, and the keys and values of all steps with these.

        across, mask [rows, tokens] bool: of the encoding. back: of the steps before. earlier [1, steps, past + steps]
        bool: which steps each one may see.
        """
        normed = self.back_norm(states)
        key, value = self.back.keys_and_values(normed)
        back = torch.cat([back[0], key], dim=2), torch.cat([back[1], value], dim=2)
        states = states + self.dropout(self.back.look_up(normed, *back, earlier))
        states = states + self.dropout(self.across.look_up(self.across_norm(states), *across, mask))
        changed: Tensor = self.dropout(self.feedforward(self.feedforward_norm(states)))
        return states + changed, back


def _memory(tokens: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(tokens, width), nn.LayerNorm(width))
