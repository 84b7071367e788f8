"""Why a column should not be learned from."""

from __future__ import annotations

from collections.abc import Sequence

from mmsdk.data.columns import almost_numbers
from mmsdk.proposal import Column, words
from mmsdk.scaffold.naming import called_a_place, called_an_id
from mmsdk.scaffold.offers import READERS, Offer
from mmsdk.scaffold.table import Table, as_text
from mmsdk.scaffold.target import Target

SURE = 0.7
"""A modality that is so sure of a column, such as by the ending of files, knows better than a guess about ids."""
ENOUGH = 20
"""Rows that have to agree before it is no accident."""
HARDLY = 5
"""A number with fewer rows than that to each value is as good as an id, where it is called an index or the like."""


def why_left_out(table: Table, column: Column, offers: Sequence[Offer], target: Target | None) -> str | None:
    """In a few words; None where there is nothing to be said against it."""
    values = [as_text(value) for value in table.values(column.name)]
    distinct = len(set(values))
    if not values:
        return "no row has a value"
    if distinct == 1:
        return f"always the same: {values[0][:40]}"
    if table.names_splits(column.name):
        return "it names splits"
    if column.kind == "url":
        return "addresses in the web: download the files, and name their paths"
    if column.kind in READERS and not offers:
        return f"{column.kind}s: to read them, pip install {READERS[column.kind]}"
    odd = almost_numbers(column.values)
    if odd is not None:
        return odd
    sure = bool(offers) and offers[0].proposal.confidence >= SURE
    if not sure and column.kind in ("text", "number", "category") and _is_id(column, values, distinct):
        return "it tells rows apart, like an id"
    if not offers:
        return f"{column.kind}: nothing that is installed reads it as a stream"
    if target is not None and column.kind in ("number", "category", "boolean"):
        if target.modality.gives in ("label", "number") and _gives_away(table, column.name, target.column):
            return f"each of its values goes with one '{target.column}' alone: it would give the answer away"
        if column.kind == "category" and table.split_column and _elsewhere(table, column.name):
            return "another split has values that no training row has: it helps only where it is known"
    return None


def _is_id(column: Column, values: Sequence[str], distinct: int) -> bool:
    if any(words(value) > 1 for value in values[:ENOUGH]):
        return False
    if column.kind == "text":
        return distinct == len(values)
    return called_an_id(column.name) or (called_a_place(column.name) and HARDLY * distinct > len(values))


def _gives_away(table: Table, column: str, target: str) -> bool:
    """Whether rows of one value always have one label, as far as values repeat."""
    labels: dict[str, list[str]] = {}
    for value, label in table.pairs(column, target):
        labels.setdefault(value, []).append(label)
    repeated = [own for own in labels.values() if len(own) > 1]
    return sum(map(len, repeated)) >= ENOUGH and all(len(set(own)) == 1 for own in repeated)


def _elsewhere(table: Table, column: str) -> bool:
    """Whether hardly any row of another split has a value that is known from training."""
    known = {as_text(value) for row in table.train if (value := row.value(column)) is not None}
    splits = [[as_text(row.value(column)) for row in rows] for rows in list(table.splits.values())[1:]]
    return bool(known) and any(sum(value in known for value in others) < len(others) / 5 for others in splits)
