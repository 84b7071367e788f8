"""A recurrent network as one operator, `mmsdk::recurrence`, for graphs alone.

Traced step by step a recurrent network would keep the length that it was traced with. As one operator any length is
right, and ONNX has nodes of its own for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

SCHEMA = (
    "(Tensor tokens, Tensor lengths, Tensor[] weights, int hidden, int layers, bool bidirectional, bool lstm)"
    " -> (Tensor, Tensor)"
)


@torch.library.custom_op("mmsdk::recurrence", mutates_args=(), schema=SCHEMA)
def recurrence(
    tokens: Tensor,
    lengths: Tensor,
    weights: Sequence[Tensor],
    hidden: int,
    layers: int,
    bidirectional: bool,
    lstm: bool,
) -> tuple[Tensor, Tensor]:
    """tokens [batch, length, width], lengths [batch] int64 from 1 -> states [batch, length, directions * hidden], zeros
    in the padding, and the last ones [layers * directions, batch, hidden]. weights: in the order of `nn.GRU`."""
    packed = pack_padded_sequence(tokens, lengths.cpu(), batch_first=True, enforce_sorted=False)
    zeros = tokens.new_zeros(layers * (2 if bidirectional else 1), len(tokens), hidden)
    options = (list(weights), True, layers, 0.0, False, bidirectional)
    if lstm:
        data, last, _ = torch.lstm(packed.data, packed.batch_sizes, (zeros, zeros), *options)
    else:
        data, last = torch.gru(packed.data, packed.batch_sizes, zeros, *options)
    found = PackedSequence(data, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices)
    states, _ = pad_packed_sequence(found, batch_first=True, total_length=tokens.shape[1])
    assert packed.unsorted_indices is not None
    return states, last.index_select(1, packed.unsorted_indices)


@recurrence.register_fake
def _shapes(
    tokens: Tensor,
    lengths: Tensor,
    weights: Sequence[Tensor],
    hidden: int,
    layers: int,
    bidirectional: bool,
    lstm: bool,
) -> tuple[Tensor, Tensor]:
    directions = 2 if bidirectional else 1
    states = tokens.new_empty(tokens.shape[0], tokens.shape[1], directions * hidden)
    return states, tokens.new_empty(layers * directions, tokens.shape[0], hidden)


def onnx_recurrence(
    tokens: Any, lengths: Any, weights: Sequence[Any], hidden: int, layers: int, bidirectional: bool, lstm: bool
) -> Any:
    """The same of ONNX's GRU and LSTM nodes, of one layer each, which put their gates in another order."""
    from onnxscript import opset18

    op: Any = opset18  # its types are those of single tensors in eager mode

    gates = (0, 3, 1, 2) if lstm else (1, 0, 2)  # ONNX: input, output, forget, cell; update, reset, new
    directions = 2 if bidirectional else 1

    def ordered(weight: Any) -> Any:
        parts = op.Split(weight, num_outputs=len(gates), axis=0)
        return op.Concat(*(parts[gate] for gate in gates), axis=0)

    def stacked(values: Sequence[Any]) -> Any:
        first = op.Constant(value_ints=[0])
        return op.Concat(*(op.Unsqueeze(value, first) for value in values), axis=0)

    node = op.LSTM if lstm else op.GRU
    more = {} if lstm else {"linear_before_reset": 1}
    steps = op.Transpose(tokens, perm=[1, 0, 2])  # [length, batch, width]
    counts = op.Cast(lengths, to=6)  # int32
    lasts = []
    for layer in range(layers):
        own = weights[4 * directions * layer : 4 * directions * (layer + 1)]
        each = [[ordered(weight) for weight in own[4 * side : 4 * side + 4]] for side in range(directions)]
        found = node(
            steps,
            stacked([side[0] for side in each]),
            stacked([side[1] for side in each]),
            stacked([op.Concat(side[2], side[3], axis=0) for side in each]),
            counts,
            hidden_size=hidden,
            direction="bidirectional" if bidirectional else "forward",
            **more,
        )
        lasts.append(found[1])  # [directions, batch, hidden]
        states = op.Transpose(found[0], perm=[0, 2, 1, 3])  # [length, batch, directions, hidden]
        steps = op.Reshape(states, op.Constant(value_ints=[0, 0, directions * hidden]))
    return op.Transpose(steps, perm=[1, 0, 2]), op.Concat(*lasts, axis=0)
