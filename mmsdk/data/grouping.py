"""Rows that are one sample together: the utterances of a video, the pages of a document.

Each column becomes the list of its rows' values in order, None where a row has none: streams and targets keep step.
"""

from __future__ import annotations

import hashlib
import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mmsdk.config.data import DataConfig, GroupBy
from mmsdk.data.samples import Row
from mmsdk.data.splits import load_splits
from mmsdk.data.tables import Table
from mmsdk.errors import DataError, did_you_mean


def load_samples(data: DataConfig, by: GroupBy | None) -> dict[str, Sequence[Row]]:
    """The samples of a `data:` section by split: its rows, or its groups of rows.

    Raises:
        DataError: see `load_splits` and `grouped_splits`.
    """
    return grouped_splits(load_splits(data, by.key if by is not None else None), by)


def grouped_splits(splits: Mapping[str, Sequence[Row]], by: GroupBy | None) -> dict[str, Sequence[Row]]:
    """The samples of each split.

    Raises:
        DataError: rows of one group stand in two splits; see also `places`.
    """
    homes: dict[str, tuple[str, str]] = {}
    for split, rows in splits.items() if by is not None else ():
        for row in rows:
            assert by is not None
            group = _group(row, by)
            home, first = homes.setdefault(group, (split, row.id))
            if home != split:
                raise DataError(
                    f"group '{group}' of column '{by.key}' has rows in two splits: '{first}' is in '{home}', "
                    f"'{row.id}' in '{split}'. Put the whole group into one of them"
                )
    return {split: grouped(rows, by) for split, rows in splits.items()}


def grouped(rows: Sequence[Row], by: GroupBy | None) -> Sequence[Row]:
    """One row per group, which is its id, in the order of the groups' first rows; without `by` the rows themselves.

    Raises:
        DataError: see `places`.
    """
    if by is None:
        return rows
    if isinstance(rows, Table):
        return Groups(rows, places(rows, by))
    return [_joined(name, [rows[place] for place in own]) for name, own in places(rows, by).items()]


class Groups(Table):
    """The groups of a table's rows, joined when they are asked for."""

    def __init__(self, rows: Table, places: Mapping[str, Sequence[int]]) -> None:
        self.rows, self.names, self.places = rows, list(places), [array("q", own) for own in places.values()]

    def __len__(self) -> int:
        return len(self.names)

    def row(self, place: int) -> Row:
        return _joined(self.names[place], [self.rows.row(each) for each in self.places[place]])

    def fingerprint(self) -> str:
        whose = f"{self.rows.fingerprint()} {self.names} {[list(own) for own in self.places]}"
        return hashlib.sha256(whose.encode()).hexdigest()


def places(rows: Sequence[Row], by: GroupBy) -> dict[str, list[int]]:
    """By group: where its rows stand among all of them, in the order of `by.order`; equals keep that of the file.

    Raises:
        DataError: a row has no value in one of the two columns, the order cannot be sorted, or a group is too long.
    """
    groups: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        groups.setdefault(_group(row, by), []).append(place)
    longest = max(groups, key=lambda name: len(groups[name]), default="")
    if groups and len(groups[longest]) > by.limit:
        raise DataError(
            f"group '{longest}' of column '{by.key}' has {len(groups[longest]):,} rows, the limit is {by.limit:,}: is "
            f"'{by.key}' the column that tells groups apart? If so, raise 'group_by.limit'"
        )
    if by.order is not None:
        ranks = _ranks(rows, by.order)
        for own in groups.values():
            own.sort(key=lambda place: ranks[place])
    return groups


def as_group(sample: Row, columns: Sequence[str]) -> Row:
    """A sample with a list in each of these columns, without those that hold nothing but None.

    Raises:
        DataError: names two that are not of one length.
    """
    values = {name: sample.value(name) for name in columns}
    lengths = {name: len(value) for name, value in values.items() if hasattr(value, "__len__") and not _single(value)}
    for name, length in lengths.items():
        other, expected = next(iter(lengths.items()))
        if length != expected:
            raise DataError(
                f"{sample.id}: '{other}' has {expected} values, '{name}' has {length}: "
                "give one for each step, None where there is none"
            )
    nothing = [name for name in lengths if _nothing(values[name])]
    return sample._replace(values={name: value for name, value in sample.values.items() if name not in nothing})


def _nothing(values: Iterable[Any]) -> bool:
    return all(value is None for value in values)


def _single(value: Any) -> bool:
    """Whether it is the content of one step rather than a list; a path may lead to a list."""
    return isinstance(value, str | bytes | Mapping)


def _group(row: Row, by: GroupBy) -> str:
    """As text, so that 3 from a JSON file and "3" from a CSV file are one group."""
    name = _present(row, by.key, "group_by.key")
    if not isinstance(name, str | int | float):
        raise DataError(
            f"sample '{row.id}': group_by.key: expected text or a number in column '{by.key}', got {name!r}"
        )
    return str(name)


def _present(row: Row, column: str, field: str) -> Any:
    value = row.value(column)
    if value is None:
        hint = did_you_mean(column, [name for name in row.values if name != column])
        raise DataError(f"sample '{row.id}' has no value in column '{column}' ({field}).{hint}")
    return value


def _ranks(rows: Sequence[Row], column: str) -> list[Any]:
    """What to sort by: numbers, also those that a CSV file holds as text; or texts, such as times in ISO 8601."""
    values = [_present(row, column, "group_by.order") for row in rows]
    numbers = [_number(value) for value in values]
    if None not in numbers:
        return numbers
    if all(isinstance(value, str) for value in values):
        return values
    odd = next(place for place, value in enumerate(values) if numbers[place] is None)
    raise DataError(
        f"sample '{rows[odd].id}': group_by.order: cannot sort by column '{column}': expected a number, as in other "
        f"rows, or text in every row; got {values[odd]!r}"
    )


def _number(value: Any) -> float | None:
    try:
        number = None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number is not None and math.isfinite(number) else None


def _joined(name: str, rows: Sequence[Row]) -> Row:
    columns = dict.fromkeys(column for row in rows for column in row.values)
    lists = {column: [row.value(column) for row in rows] for column in columns}
    return Row(name, {column: own for column, own in lists.items() if not _nothing(own)}, rows[0].folder)
