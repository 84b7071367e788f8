"""Losses over similarities in parts: against tables that are whole, in value and in gradient."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmsdk.builtin.heads import similarities
from mmsdk.builtin.heads.similarities import Table, log_sigmoid, log_sum_exp

ROWS, COLUMNS, WIDTH, OFFSET = 9, 14, 4, 3


def given(rows: int, columns: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    x, y = (F.normalize(torch.randn(count, WIDTH, dtype=dtype), dim=1) for count in (rows, columns))
    return tuple(  # type: ignore[return-value]
        part.requires_grad_() for part in (x, y, torch.tensor([7.0], dtype=dtype), torch.tensor([-2.0], dtype=dtype))
    )


def some_table(equal: bool) -> Table:
    generator = torch.Generator().manual_seed(1)
    columns = torch.rand(COLUMNS, generator=generator) < 0.7
    ids = torch.randint(4, (COLUMNS,), generator=generator)
    own = slice(OFFSET, OFFSET + ROWS)
    return Table(columns[own], columns, (ids[own], ids) if equal else None, OFFSET)


def hidden(table: Table) -> Tensor:
    """Pair by pair, as `Table` says it."""
    found = torch.ones(ROWS, COLUMNS, dtype=torch.bool)
    for row in range(ROWS):
        for column in range(COLUMNS):
            same = table.ids is not None and table.ids[0][row] == table.ids[1][column]
            there = bool(table.rows[row] and table.columns[column])
            found[row, column] = column != row + OFFSET and not (there and not same)
    return found


@pytest.fixture(params=[similarities.NUMBERS, 2 * COLUMNS, 1], ids=["whole", "two rows", "row by row"])
def parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similarities, "NUMBERS", request.param)


@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize("equal", [False, True])
def test_sums_and_gradients_are_those_of_the_whole_table(equal: bool) -> None:
    x, y, scale, _ = given(ROWS, COLUMNS)
    table, generator = some_table(equal), torch.Generator().manual_seed(2)
    similar = (scale * x @ y.T).masked_fill(hidden(table), -torch.inf)
    column = hidden(table).all(dim=0)  # nothing counts for it
    weights = torch.rand(ROWS, generator=generator), torch.rand(COLUMNS, generator=generator).masked_fill(column, 0)
    rows, columns = log_sum_exp(x, y, scale, table)
    torch.testing.assert_close(rows, similar.logsumexp(dim=1))
    torch.testing.assert_close(columns[~column], similar.logsumexp(dim=0)[~column])
    assert (columns[column] < -1e30).all()
    wanted = (similar.logsumexp(1) * weights[0]).sum() + (similar.logsumexp(0)[~column] * weights[1][~column]).sum()
    found = (rows * weights[0]).sum() + (columns[~column] * weights[1][~column]).sum()
    inputs = [x, y, scale]
    torch.testing.assert_close(torch.autograd.grad(found, inputs), torch.autograd.grad(wanted, inputs))


@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize("equal", [False, True])
def test_the_sum_of_yes_and_no_is_that_of_the_whole_table(equal: bool) -> None:
    x, y, scale, bias = given(ROWS, COLUMNS)
    table = some_table(equal)
    sign = -torch.ones(ROWS, COLUMNS, dtype=x.dtype)
    sign.diagonal(OFFSET).fill_(1)
    each = -F.logsigmoid(sign * (scale * x @ y.T + bias)).masked_fill(hidden(table), 0)
    wanted, found = each[table.rows].sum(), log_sigmoid(x, y, scale, bias, table)
    torch.testing.assert_close(found, wanted)
    inputs = [x, y, scale, bias]
    torch.testing.assert_close(torch.autograd.grad(3 * found, inputs), torch.autograd.grad(3 * wanted, inputs))


@pytest.mark.usefixtures("parts")
def test_gradients_by_finite_differences() -> None:
    x, y, scale, bias = given(5, 5)
    table = Table(torch.ones(5, dtype=torch.bool), torch.ones(5, dtype=torch.bool), None, 0)
    assert torch.autograd.gradcheck(lambda *own: log_sum_exp(*own, table), (x, y, scale))
    assert torch.autograd.gradcheck(lambda *own: log_sigmoid(*own, table), (x, y, scale, bias))


def test_columns_may_be_left_out() -> None:
    x, y, scale, _ = given(ROWS, COLUMNS)
    rows, columns = log_sum_exp(x, y, scale, some_table(True), of_columns=False)
    torch.testing.assert_close(rows, log_sum_exp(x, y, scale, some_table(True))[0])
    assert columns.isneginf().all()
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(rows.sum(), [x, y, scale]))


def test_large_scales_stay_exact() -> None:
    """At a temperature of 0.01 sums hang on few terms; nothing overflows."""
    x, y, scale, _ = given(64, 64, torch.float32)
    with torch.no_grad():
        scale.fill_(100)
    table = Table(torch.ones(64, dtype=torch.bool), torch.ones(64, dtype=torch.bool), None, 0)
    rows, columns = log_sum_exp(x, y, scale, table)
    similar = (scale * x @ y.T).double()
    torch.testing.assert_close(rows.double(), similar.logsumexp(dim=1), rtol=1e-6, atol=1e-4)
    torch.testing.assert_close(columns.double(), similar.logsumexp(dim=0), rtol=1e-6, atol=1e-4)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similarities, "NUMBERS", 100)
    table = Table(torch.ones(40, dtype=torch.bool), torch.ones(30, dtype=torch.bool), None, 0)
    sizes = [(part.stop - part.start) * 30 for part in table.parts()]
    assert sum(sizes) == 40 * 30 and max(sizes) <= 100
