"""Losses over all similarities of two sets of vectors, of which only a part is ever in memory.

The similarities of B samples with one another are B * B numbers, and automatic differentiation keeps several such
tables. Here they are made some rows at a time, and once more on the way back: memory grows with B times the width of
the vectors. As in Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup", 2021, nothing
is approximated.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

NUMBERS, ON_ACCELERATOR = 2**21, 2**26
"""So many similarities are in memory at a time: 8 MB, what a processor's cache holds; 256 MB keep a GPU busy."""


class Table(NamedTuple):
    """Which similarities of rows with columns count.

    rows [n], columns [m]: bool, those that are there. ids: of rows [n] and columns [m]; those with the same id are not
    told apart; None where all are. offset: row i belongs to column i + offset, and this pair always counts.
    """

    rows: Tensor
    columns: Tensor
    ids: tuple[Tensor, Tensor] | None
    offset: int

    def parts(self) -> Iterator[slice]:
        """Some rows after the other."""
        numbers = NUMBERS if self.columns.device.type == "cpu" else ON_ACCELERATOR
        size = max(1, numbers // max(1, len(self.columns)))
        for start in range(0, len(self.rows), size):
            yield slice(start, min(start + size, len(self.rows)))

    @property
    def whole(self) -> bool:
        """Whether everything counts."""
        return self.ids is None and bool(self.rows.all()) and bool(self.columns.all())

    def hidden(self, part: slice) -> Tensor:
        """What does not count, [rows of the part, m] bool."""
        counts = self.rows[part, None] & self.columns
        if self.ids is not None:
            rows, columns = self.ids
            counts = counts & (rows[part, None] != columns)
        self.own(counts, part).fill_(True)
        return ~counts

    def own(self, numbers: Tensor, part: slice) -> Tensor:
        """Those numbers [rows of the part, m] that stand where a row meets its own column; a view."""
        return numbers.diagonal(self.offset + part.start)


def log_sum_exp(x: Tensor, y: Tensor, scale: Tensor, table: Table, *, of_columns: bool = True) -> tuple[Tensor, Tensor]:
    """log sum_j exp(scale <x_i, y_j>) of each row [n], and the same over i of each column [m], of all that counts.

    x: [n, width], y: [m, width], scale: [1]; all float32. of_columns: without, those of the columns are -inf; that of a
    column of which nothing counts is near it.
    """
    rows, columns = _LogSumExp.apply(x, y, scale, table, of_columns)
    return rows, columns


def log_sigmoid(x: Tensor, y: Tensor, scale: Tensor, bias: Tensor, table: Table) -> Tensor:
    """sum_ij -log sigmoid(z_ij (scale <x_i, y_j> + bias)) of all that counts, z = 1 for a row's own column, else -1.

    x: [n, width], y: [m, width], scale and bias: [1]; all float32. Rows that are not there do not count at all.
    """
    loss: Tensor = _LogSigmoid.apply(x, y, scale, bias, table)
    return loss


class _LogSumExp(torch.autograd.Function):
    """Keeps the sums alone, and makes the similarities again on the way back, each time in the same two places."""

    @staticmethod
    def forward(context: Any, x: Tensor, y: Tensor, scale: Tensor, table: Table, of_columns: bool) -> Any:
        rows = torch.empty_like(x[:, 0])
        largest = x.new_full((len(y),), torch.finfo(x.dtype).min)  # of each column so far
        summed = torch.zeros_like(largest)  # of exp(similarity - largest)
        for part, similar, spare in _similarities(x, y, scale, table):
            top = similar.amax(dim=1, keepdim=True)
            rows[part] = torch.sub(similar, top, out=spare).exp_().sum(dim=1).log() + top[:, 0]
            if of_columns:
                before, largest = largest, torch.maximum(largest, similar.amax(dim=0))
                summed = summed * (before - largest).exp() + similar.sub_(largest).exp_().sum(dim=0)
        columns = largest + summed.log()
        context.save_for_backward(x, y, scale, rows, columns)
        context.table, context.of_columns = table, of_columns
        return rows, columns

    @staticmethod
    @once_differentiable
    def backward(context: Any, of_rows: Tensor, of_columns: Tensor) -> tuple[Tensor | None, ...]:
        x, y, scale, rows, columns = context.saved_tensors
        to_x, to_y = torch.empty_like(x), torch.zeros_like(y)
        for part, similar, spare in _similarities(x, y, scale, context.table):
            shares = torch.sub(similar, rows[part, None], out=spare).exp_().mul_(of_rows[part, None])
            if context.of_columns:
                shares += similar.sub_(columns).exp_().mul_(of_columns)
            to_x[part] = shares @ y
            to_y.addmm_(shares.T, x[part])
        return scale * to_x, scale * to_y, (to_x * x).sum().view_as(scale), None, None


def _similarities(x: Tensor, y: Tensor, scale: Tensor, table: Table) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Some rows, their similarities, the lowest number where they do not count, and a place of the same size.

    Both places are used again for the next rows: a table in new places each time leaves memory in splinters.
    """
    whole = table.whole
    places = None
    with torch.autocast(x.device.type, enabled=False):
        for part in table.parts():
            rows = scale * x[part]
            if places is None:
                places = rows.new_empty(2, len(rows), len(y))
            similar, spare = places[:, : len(rows)]
            torch.mm(rows, y.T, out=similar)
            if not whole:
                similar.masked_fill_(table.hidden(part), torch.finfo(similar.dtype).min)
            yield part, similar, spare


class _LogSigmoid(torch.autograd.Function):
    """A sum has one gradient for all its terms, so that those of x and y are ready with the sum itself."""

    @staticmethod
    def forward(context: Any, x: Tensor, y: Tensor, scale: Tensor, bias: Tensor, table: Table) -> Tensor:
        wanted = any(context.needs_input_grad)
        loss, to_bias = x.new_zeros(()), torch.zeros_like(bias)
        to_x, to_y = torch.zeros_like(x), torch.zeros_like(y)
        with torch.autocast(x.device.type, enabled=False):
            for part in table.parts():
                hidden = table.hidden(part) | ~table.rows[part, None]
                odds = torch.addmm(bias, scale * x[part], y.T).neg_()  # [rows, m]; log-odds of "another one"
                table.own(odds, part).neg_()
                loss = loss - F.logsigmoid(odds).masked_fill_(hidden, 0).sum()
                if wanted:
                    slope = odds.neg_().sigmoid_().masked_fill_(hidden, 0)
                    table.own(slope, part).neg_()
                    to_x[part] = scale * slope @ y
                    to_y.addmm_(slope.T, scale * x[part])
                    to_bias += slope.sum()
        context.save_for_backward(to_x, to_y, ((to_x * x).sum() / scale).view_as(scale), to_bias)
        return loss

    @staticmethod
    @once_differentiable
    def backward(context: Any, of_loss: Tensor) -> tuple[Tensor | None, ...]:
        return (*(of_loss * part for part in context.saved_tensors), None)
