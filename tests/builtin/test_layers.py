"""The layers that encoders and fusions share."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmsdk.builtin.layers.attention import Attention, CrossBlock, TransformerBlock
from mmsdk.builtin.layers.embedding import Row, Tokens
from mmsdk.builtin.layers.pooling import clean, masked_max, masked_mean
from mmsdk.builtin.layers.positions import coordinates, sinusoidal, sinusoidal_grid
from mmsdk.builtin.layers.recurrence import Recurrence
from mmsdk.errors import ConfigError
from mmsdk.formats import Format

MASK = torch.tensor([[True, True, False], [True, False, True], [False, False, False]])


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def finite_gradients(*tensors: Tensor) -> bool:
    return all(tensor.grad is not None and bool(tensor.grad.isfinite().all()) for tensor in tensors)


def test_attention_is_softmax_of_scaled_products() -> None:
    attention, queries, context = Attention(6, heads=2), torch.randn(3, 4, 6), torch.randn(3, 3, 6)
    query = attention.query(queries).view(3, 4, 2, 3)
    key, value = (part(context).view(3, 3, 2, 3) for part in (attention.key, attention.value))
    scores = torch.einsum("bqhd,bkhd->bhqk", query, key) / math.sqrt(3)
    weights = scores.masked_fill(~MASK[:, None, None], -1e9).softmax(dim=-1)
    expected = attention.out(torch.einsum("bhqk,bkhd->bqhd", weights, value).flatten(2))
    torch.testing.assert_close(attention(queries, context, MASK)[:2], expected[:2])


def test_attention_finds_zeros_where_there_is_no_context() -> None:
    attention = Attention(6, heads=2)
    queries = torch.randn(3, 4, 6, requires_grad=True)
    context = torch.randn(3, 3, 6, requires_grad=True)
    found = attention(queries, context, MASK)
    assert not found[2].any() and found[:2].any()
    found.square().sum().backward()
    assert finite_gradients(queries, context, *attention.parameters())
    assert context.grad is not None
    assert torch.equal(context.grad.any(dim=2), MASK)  # nothing flows into what may not be looked at


def test_attention_never_asks_for_an_empty_softmax(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, real = [], F.scaled_dot_product_attention

    def spy(*tensors: Tensor, attn_mask: Tensor, dropout_p: float) -> Tensor:
        seen.append(attn_mask)
        return real(*tensors, attn_mask=attn_mask, dropout_p=dropout_p)

    monkeypatch.setattr(F, "scaled_dot_product_attention", spy)
    Attention(6, heads=2)(torch.randn(3, 4, 6), torch.randn(3, 3, 6), MASK)
    (mask,) = seen
    assert torch.equal(mask[:, 0, 0], MASK | torch.tensor([[False], [False], [True]]))


def test_attention_dropout_is_for_training() -> None:
    attention, tokens = Attention(8, heads=2, dropout=0.5), torch.randn(2, 5, 8)
    mask = torch.ones(2, 5, dtype=torch.bool)
    assert not torch.equal(attention(tokens, tokens, mask), attention(tokens, tokens, mask))
    attention.eval()
    assert torch.equal(attention(tokens, tokens, mask), attention(tokens, tokens, mask))


def test_heads_must_share_the_width() -> None:
    with pytest.raises(ConfigError, match="4 heads cannot share a width of 6"):
        Attention(6, heads=4)


@pytest.mark.parametrize("block", [TransformerBlock(6, 2), CrossBlock(6, 3, feedforward=5)], ids=["self", "cross"])
def test_blocks_do_not_see_masked_tokens(block: nn.Module) -> None:
    tokens = torch.randn(3, 3, 6)
    other = torch.where(MASK[..., None], tokens, torch.randn(3, 3, 6))

    def run(context: Tensor) -> Tensor:
        result = block(context, MASK) if isinstance(block, TransformerBlock) else block(tokens, context, MASK)
        assert isinstance(result, Tensor) and result.shape == (3, 3, 6) and result.isfinite().all()
        return result

    seen = MASK if isinstance(block, TransformerBlock) else torch.ones_like(MASK)
    torch.testing.assert_close(run(tokens)[seen], run(other)[seen])
    assert not torch.equal(run(tokens)[0], run(tokens + torch.randn(6))[0])


def test_masked_mean_and_max() -> None:
    tokens = torch.tensor([[[1.0, -4.0], [3.0, -2.0], [90.0, 90.0]]]).expand(3, -1, -1).clone().requires_grad_()
    mean, largest = masked_mean(tokens, MASK), masked_max(tokens, MASK)
    assert mean.tolist() == [[2.0, -3.0], [45.5, 43.0], [0.0, 0.0]]
    assert largest.tolist() == [[3.0, -2.0], [90.0, 90.0], [0.0, 0.0]]
    (mean.sum() + largest.sum()).backward()
    assert finite_gradients(tokens)


def test_clean_leaves_nothing_in_padding_and_absent_rows() -> None:
    encoding = clean(torch.ones(3, 3, 2), MASK, torch.ones(3, 5))
    assert torch.equal(encoding.tokens.any(dim=2), MASK)
    assert encoding.pooled.any(dim=1).tolist() == [True, True, False]


@pytest.mark.parametrize("width", [1, 2, 5, 16])
def test_sinusoidal_positions_of_any_length(width: int) -> None:
    like = torch.zeros(1, dtype=torch.bfloat16)
    short, long = sinusoidal(7, width, torch.zeros(1)), sinusoidal(20_000, width, torch.zeros(1))
    assert long.shape == (20_000, width) and sinusoidal(3, width, like).dtype == torch.bfloat16
    assert torch.equal(short, long[:7])
    assert len(short.unique(dim=0)) == 7
    half = (width + 1) // 2
    column = min(1, half - 1)
    assert long[500, column].item() == pytest.approx(math.sin(500 * 10_000 ** (-column / half)), abs=1e-4)


@pytest.mark.parametrize("width", [1, 6, 7])
def test_grid_positions_tell_row_and_column(width: int) -> None:
    grid = sinusoidal_grid(3, 4, width, torch.zeros(1)).view(3, 4, width)
    rows = width - width // 2
    assert torch.equal(grid[:, 0, :rows], grid[:, 3, :rows])
    assert torch.equal(grid[0, :, rows:], grid[2, :, rows:])
    assert len(grid.flatten(0, 1).unique(dim=0)) == (12 if width > 1 else 3)


def test_coordinates() -> None:
    assert coordinates(3, 2, torch.zeros(1)).tolist() == [
        [[-1.0, -1.0], [0.0, 0.0], [1.0, 1.0]],
        [[-1.0, 1.0], [-1.0, 1.0], [-1.0, 1.0]],
    ]


def test_tokens_embeds_ids_and_steps() -> None:
    ids = torch.tensor([[3, 1, 0], [2, 0, 0]])
    embedded, mask = Tokens(Format("tokens", vocabulary=4), 5)({"ids": ids, "mask": ids > 0})
    assert embedded.shape == (2, 3, 5) and torch.equal(embedded.any(dim=2), mask)
    steps = Tokens(Format("sequence", width=2), 5)
    embedded, mask = steps({"values": torch.randn(3, 3, 2), "mask": MASK})
    assert embedded.shape == (3, 3, 5) and torch.equal(embedded.any(dim=2), MASK)


def test_row_is_linear_over_numbers_and_one_hot_categories() -> None:
    row = Row(Format("table", width=2, sizes=(3, 4)), 5)
    numbers, categories = torch.randn(6, 2), torch.tensor([[0, 0], [1, 3], [2, 1], [2, 3], [0, 2], [1, 0]])
    embedded, mask = row({"numbers": numbers, "categories": categories})
    assert row.numbers is not None and row.categories is not None
    one_hot = torch.cat([F.one_hot(categories[:, 0], 3), F.one_hot(categories[:, 1], 4)], dim=1).float()
    torch.testing.assert_close(embedded[:, 0], row.numbers(numbers) + one_hot @ row.categories.weight)
    assert mask.dtype == torch.bool and mask.tolist() == [[True]] * 6


@pytest.mark.parametrize("format", [Format("table", width=2), Format("table", sizes=(3,))], ids=["numbers", "ids"])
def test_row_of_numbers_or_categories_alone(format: Format) -> None:
    ids = torch.zeros(4, len(format.sizes), dtype=torch.long)
    embedded, _ = Row(format, 5)({"numbers": torch.ones(4, format.width), "categories": ids})
    assert embedded.shape == (4, 1, 5) and embedded.any()


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_recurrence_reads_each_row_as_if_alone(cell: Literal["gru", "lstm"], bidirectional: bool) -> None:
    recurrence = Recurrence(6, cell=cell, layers=2, bidirectional=bidirectional)
    tokens, lengths = torch.randn(3, 5, 6), [2, 5, 1]
    mask = torch.arange(5) < torch.tensor(lengths)[:, None]
    encoding = recurrence(tokens, mask)
    for row, length in enumerate(lengths):
        states, last = recurrence.cells(tokens[row : row + 1, :length])
        final = last[0] if cell == "lstm" else last
        torch.testing.assert_close(encoding.tokens[row, :length], states[0])
        expected = torch.cat([final[-2, 0], final[-1, 0]]) if bidirectional else final[-1, 0]
        torch.testing.assert_close(encoding.pooled[row], expected)


@pytest.mark.parametrize("pool", ["last", "mean"])
def test_recurrence_passes_over_gaps(pool: Literal["last", "mean"]) -> None:
    recurrence = Recurrence(6, pool=pool)
    tokens = torch.randn(2, 5, 6)
    mask = torch.tensor([[False, True, False, True, False], [True, True, False, False, True]])
    found = recurrence(tokens, mask)
    for row in range(2):
        there = mask[row]
        alone = recurrence(tokens[row : row + 1, there], torch.ones(1, int(there.sum()), dtype=torch.bool))
        torch.testing.assert_close(found.tokens[row, there], alone.tokens[0])
        torch.testing.assert_close(found.pooled[row], alone.pooled[0])
    assert not found.tokens[~mask].any() and torch.equal(found.mask, mask)


def test_two_directions_need_an_even_width() -> None:
    with pytest.raises(ConfigError, match="width of 5"):
        Recurrence(5)
    assert Recurrence(5, bidirectional=False)(torch.randn(1, 2, 5), torch.ones(1, 2) > 0).pooled.shape == (1, 5)
