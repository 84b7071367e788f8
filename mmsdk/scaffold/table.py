"""A look at somebody's table: a bounded number of its rows, its columns, its splits."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from mmsdk.config.data import TEXT_FILES, DataConfig
from mmsdk.data.columns import SUFFIXES, kind_of
from mmsdk.data.samples import Row, is_missing, read_rows
from mmsdk.data.splits import held_out
from mmsdk.errors import DataError, did_you_mean, listed
from mmsdk.proposal import Column, is_file

MOST_ROWS = 50_000
"""So many rows are looked at, the first ones; of a longer file the number of rows is estimated."""
SHOWN_VALUES = 1000
"""So many values of a column are shown to the modalities."""
LOOKED_UP = 200
"""So many files of a column are looked for."""
SPLIT_COLUMNS = ("split", "set", "subset", "partition", "fold")
TRAIN = ("train", "training")
VALID = ("valid", "validation", "val", "dev", "development")


class Table:
    """Rows of a .jsonl or .csv file: at most `MOST_ROWS` of them, from its beginning.

    count: of all rows of the file; an estimate where it is longer. columns: by name, in their order.

    Raises:
        DataError: it cannot be read, or there are no rows in it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.suffix.lower() not in TEXT_FILES:
            raise DataError(f"{path}: expected a file that ends in {listed(TEXT_FILES)}")
        self.rows = list(islice(read_rows(path), MOST_ROWS + 1))
        self.whole = len(self.rows) <= MOST_ROWS
        self.count = len(self.rows) if self.whole else _estimated(path)
        del self.rows[MOST_ROWS:]
        if not self.rows:
            raise DataError(f"{path}: there are no samples in this file")
        names = dict.fromkeys(name for row in self.rows for name in row.values)
        self.columns = {name: self._column(name) for name in names}

    def _column(self, name: str) -> Column:
        values = self.values(name)
        every = max(1, len(values) // SHOWN_VALUES)
        return Column(name, kind_of(values), values[::every][:SHOWN_VALUES], self.path.absolute().parent)

    def values(self, column: str) -> list[Any]:
        """Those that are not missing."""
        return [value for row in self.rows if not is_missing(value := row.values.get(column))]

    def pairs(self, column: str, other: str) -> Iterator[tuple[str, str]]:
        """What stands in two columns, as texts, where neither is missing."""
        for row in self.rows:
            one, two = row.value(column), row.value(other)
            if one is not None and two is not None:
                yield as_text(one), as_text(two)

    def require(self, column: str, option: str) -> Column:
        """The column of that name.

        Raises:
            DataError: there is none.
        """
        if column not in self.columns:
            hint = did_you_mean(column, list(self.columns)) or f" Columns: {listed(self.columns)}."
            raise DataError(f"{option}: {self.path} has no column '{column}'.{hint}")
        return self.columns[column]

    def absent_files(self, column: str) -> str | None:
        """What to say where some of the files that a column names are not there.

        Raises:
            DataError: not one of them is there.
        """
        if self.columns[column].kind not in SUFFIXES:
            return None
        names = list(dict.fromkeys(map(str, self.values(column))))
        looked_up = names[:: max(1, len(names) // LOOKED_UP)][:LOOKED_UP]
        folder = self.columns[column].folder
        absent = [name for name in looked_up if not is_file(folder / name)]
        if absent and len(absent) == len(looked_up):
            raise DataError(
                f"{self.path}: not one of the files is there that column '{column}' names, such as "
                f"'{folder / absent[0]}': paths are relative to the folder of the table"
            )
        return (
            f"{len(absent)} of {len(looked_up)} files of '{column}' are not there ('{absent[0]}')" if absent else None
        )

    @cached_property
    def split_column(self) -> str | None:
        """The one that is called like that and holds names of splits."""
        known = {name.lower(): name for name in self.columns}
        candidates = [known[name] for name in SPLIT_COLUMNS if name in known]
        return next((name for name in candidates if self._divides(name)), None)

    def _divides(self, column: str) -> bool:
        """Whether it names training rows; of a long file these may come later."""
        return not self._distinct(column).isdisjoint(TRAIN) or (not self.whole and self.names_splits(column))

    def names_splits(self, column: str) -> bool:
        """Whether all of its values are names of splits."""
        values = self._distinct(column)
        return bool(values) and all(value.startswith((*TRAIN, *VALID, "test")) for value in values)

    def _distinct(self, column: str) -> set[str]:
        return {as_text(value).lower() for value in self.values(column)}

    @cached_property
    def data(self) -> dict[str, Any]:
        """The `data:` section, but for its path: the column of splits, or shares to be held out at random."""
        if self.split_column is None:
            share = 0.1 if self.count >= 500 else 0.2
            return {"holdout": {"valid": share, "test": share}}
        names = list(dict.fromkeys(map(as_text, self.values(self.split_column))))
        train = next((name for name in names if name.lower() in TRAIN), "train")
        valid = next((name for name in names if name.lower() in VALID), "valid")
        named = {"train_split": (train, "train"), "valid_split": (valid, "valid")}
        return {"split_column": self.split_column} | {key: own for key, (own, usual) in named.items() if own != usual}

    @cached_property
    def splits(self) -> Mapping[str, Sequence[Row]]:
        """The rows that were looked at, by split; the training rows first.

        Raises:
            DataError: a row names no split.
        """
        config = DataConfig(path=self.path, **self.data)
        if self.split_column is None:
            return held_out(self.rows, config)
        splits: dict[str, list[Row]] = {config.train_split: []}
        for row in self.rows:
            name = row.value(self.split_column)
            if name is None:
                raise DataError(
                    f"{self.path}: sample '{row.id}' has no value in the column '{self.split_column}', which divides "
                    "the others into splits: fill it in, or rename the column"
                )
            splits.setdefault(str(name), []).append(row)
        return splits

    @property
    def train(self) -> Sequence[Row]:
        return next(iter(self.splits.values()))

    @property
    def judged(self) -> list[Row]:
        """The rows that are not trained on."""
        return [row for rows in list(self.splits.values())[1:] for row in rows]

    @property
    def train_count(self) -> int:
        """How many training rows there are, roughly."""
        return round(len(self.train) / len(self.rows) * self.count) or self.count


def as_text(value: Any) -> str:
    """3 from a JSON file and "3" from a CSV file are the same."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _estimated(path: Path) -> int:
    """The number of lines, from the length of the first ones."""
    with path.open("rb") as file:
        beginning = file.read(2**20)
    return max(MOST_ROWS, path.stat().st_size * beginning.count(b"\n") // len(beginning))
