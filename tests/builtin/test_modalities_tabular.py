from __future__ import annotations

import copy
import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mmsdk.builtin.declarations.modalities import TabularConfig
from mmsdk.builtin.modalities.tabular import Row, Tabular
from mmsdk.errors import DecodeError
from mmsdk.formats import Format

ROWS = [
    {"age": 20, "height": "1.5", "town": "Bonn", "floor": 3},
    {"age": 40, "height": "1.7", "town": "Aachen", "floor": 3.0},
    {"age": None, "height": "", "town": None, "floor": "2"},
    {"age": float("nan"), "height": "nan", "floor": True},
]
COLUMNS = {"numbers": ["age", "height"], "categories": ["town", "floor"]}


def fitted(**options: object) -> Tabular:
    table = Tabular(**{**COLUMNS, **options})  # type: ignore[arg-type]
    table.fit(ROWS)
    return table


def same(first: Row, second: Row) -> bool:
    numbers = np.array_equal(first.numbers, second.numbers, equal_nan=True)
    return numbers and np.array_equal(first.categories, second.categories)


def test_numbers_are_standardized_and_missing_ones_marked() -> None:
    table = fitted()
    inputs = table.collate([table.prepare(row) for row in ROWS])
    expected = [[-1, -1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]
    assert torch.allclose(inputs["numbers"], torch.tensor(expected).float(), atol=1e-6)
    assert inputs["numbers"].dtype == torch.float32 and inputs["categories"].dtype == torch.int64
    plain = fitted(indicators=False)
    assert torch.equal(plain.collate([plain.prepare(row) for row in ROWS])["numbers"], inputs["numbers"][:, :2])


def test_categories_are_found_by_their_text_and_zero_is_none() -> None:
    table = fitted()
    ids = table.collate([table.prepare(row) for row in ROWS])["categories"]
    assert ids.tolist() == [[2, 2], [1, 2], [0, 1], [0, 3]]  # Aachen, Bonn; 2, 3, True
    assert table.prepare({"town": "Celle", "floor": "3"}).categories.tolist() == [0, 2]
    assert table.format == Format("table", width=4, sizes=(3, 4))


def test_only_numbers_or_only_categories() -> None:
    numbers, categories = Tabular(numbers=["age"]), Tabular(categories=["town"])
    for table in (numbers, categories):
        table.fit(ROWS)
    batch = numbers.collate([numbers.prepare(row) for row in ROWS])
    assert batch["numbers"].shape == (4, 2) and batch["categories"].shape == (4, 0)
    batch = categories.collate([categories.prepare(row) for row in ROWS])
    assert batch["numbers"].shape == (4, 0) and batch["categories"].shape == (4, 1)
    assert numbers.format == Format("table", width=2) and categories.format == Format("table", sizes=(3,))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"age": "old"}, "column 'age': expected a number, got 'old'"),
        ({"height": float("inf")}, "column 'height': expected a finite number"),
        ({"height": "-inf"}, "column 'height': expected a finite number"),
        ({"age": 10**400}, "column 'age': expected a finite number"),
        ({"age": [1]}, r"column 'age': expected a number, got \[1\]"),
        ({"town": ["Bonn"]}, r"column 'town': expected a label .* got \['Bonn'\]"),
        ([1, 2], "expected a mapping from column to value"),
    ],
)
def test_what_cannot_be_read_is_named_and_passed_over_in_fitting(value: object, reason: str) -> None:
    with pytest.raises(DecodeError, match=reason):
        fitted().prepare(value)
    table = Tabular(**COLUMNS)  # type: ignore[arg-type]
    table.fit([value, *ROWS])
    assert table.format == fitted().format
    assert np.allclose(table.standard.center, fitted().standard.center)


def test_the_order_of_the_rows_does_not_matter() -> None:
    rows = ROWS * 3
    random.Random(0).shuffle(rows)
    table = Tabular(**COLUMNS)  # type: ignore[arg-type]
    table.fit(rows)
    assert table.state()["categories"] == fitted().state()["categories"]


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["age", "town"]), st.none() | st.text() | st.integers() | st.floats() | st.booleans()
    )
)
def test_any_row_gives_finite_numbers_or_a_decode_error(row: dict[str, object]) -> None:
    try:
        batch = ANY.collate([ANY.prepare(row)])
    except DecodeError:
        return
    assert torch.isfinite(batch["numbers"]).all()
    assert batch["categories"].min() >= 0 and batch["categories"].max() < 4


ANY = fitted()


def test_augmentation_is_reproducible_and_leaves_the_item_alone() -> None:
    table = fitted(noise=0.5, column_dropout=0.5)
    item = table.prepare(ROWS[0])
    before = copy.deepcopy(item)
    variants = [table.augment(item, np.random.default_rng(seed)) for seed in (1, 1, *range(2, 60))]
    assert same(item, before) and same(variants[0], variants[1])
    assert not any(same(variants[0], other) for other in variants[2:])
    batch = table.collate(variants)
    missing = batch["numbers"][:, 2:] == 1
    assert 0.3 < missing.float().mean() < 0.7
    assert batch["numbers"][:, :2][missing].abs().sum() == 0
    kept = batch["numbers"][:, :2][~missing]
    assert kept.mean() == pytest.approx(-1, abs=0.25) and kept.std() == pytest.approx(0.5, abs=0.15)
    assert 0.3 < (batch["categories"] == 0).float().mean() < 0.7
    assert variants[0].numbers.dtype == np.float32 and variants[0].categories.dtype == np.int64
    assert same(fitted().augment(item, np.random.default_rng(0)), item)


def test_collating_leaves_the_items_alone() -> None:
    table = fitted()
    item = table.blank()
    table.collate([item])
    assert np.isnan(item.numbers).all() and item.categories.tolist() == [0, 0]


def test_the_config_names_its_columns_once_each() -> None:
    config = TabularConfig(numbers=["a"], categories=["b"], noise=0.1, column_dropout=0.2, indicators=False)
    table = config.build()
    assert isinstance(table, Tabular) and config.columns() == ["a", "b"]
    assert (table.noise, table.column_dropout, table.indicators) == (0.1, 0.2, False)
    with pytest.raises(ValidationError, match="needs 'numbers"):
        TabularConfig()
    with pytest.raises(ValidationError, match="column 'a' is named twice"):
        TabularConfig(numbers=["a"], categories=["a"])
