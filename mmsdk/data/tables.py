"""Rows that stay where they are, such as in shards on a disk, and are read when they are asked for."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from mmsdk.data.samples import Row

LOOKED_AT = 2**20
"""Bytes at both ends of a shard that tell it from another."""


class Table(Sequence["Row"], ABC):
    """Rows by place, as of a list, in constant memory. A row is made anew at each look; it can be pickled.

    Equal to a list of the same rows in all that is computed from them.
    """

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def row(self, place: int) -> Row:
        """The row at a place of 0..len - 1."""

    @abstractmethod
    def fingerprint(self) -> str:
        """What tells the rows from others, found without reading them all."""

    @overload
    def __getitem__(self, place: int) -> Row: ...
    @overload
    def __getitem__(self, place: slice) -> list[Row]: ...
    def __getitem__(self, place: int | slice) -> Row | list[Row]:
        if isinstance(place, slice):
            return [self.row(each) for each in range(*place.indices(len(self)))]
        return self.row(range(len(self))[place])

    def __iter__(self) -> Iterator[Row]:
        return map(self.row, range(len(self)))


class Cells(Mapping[str, Any], ABC):
    """The values of a row in a table: each is read when it is asked for."""

    @abstractmethod
    def holds_bytes(self, column: str) -> bool:
        """Whether there is the content of a file, such as of a picture. It is not read for that."""


class Selected(Table):
    """Some rows of a table."""

    def __init__(self, table: Table, places: NDArray[np.int64]) -> None:
        self.table, self.places = table, places

    def __len__(self) -> int:
        return len(self.places)

    def row(self, place: int) -> Row:
        return self.table.row(int(self.places[place]))

    def fingerprint(self) -> str:
        whose = f"{self.table.fingerprint()} {len(self)}\n".encode()
        return hashlib.sha256(whose + self.places.tobytes()).hexdigest()


class Joined(Table):
    """The rows of several tables, one after the other."""

    def __init__(self, tables: Sequence[Table]) -> None:
        self.tables, self.ends = tables, np.cumsum([len(table) for table in tables])

    def __len__(self) -> int:
        return int(self.ends[-1])

    def row(self, place: int) -> Row:
        number = int(np.searchsorted(self.ends, place, side="right"))
        table = self.tables[number]
        return table.row(place - int(self.ends[number]) + len(table))

    def fingerprint(self) -> str:
        return hashlib.sha256("".join(table.fingerprint() for table in self.tables).encode()).hexdigest()


def chosen(rows: Sequence[Row], places: Iterable[int]) -> Sequence[Row]:
    """The rows at these places, in this order; those of a table stay where they are."""
    if not isinstance(rows, Table):
        return [rows[place] for place in places]
    wanted = np.fromiter(places, np.int64)
    return rows if len(wanted) == len(rows) and bool((wanted == np.arange(len(rows))).all()) else Selected(rows, wanted)


def fingerprint_of(shards: Sequence[Path]) -> str:
    """Of files: their names and sizes, and what stands at both ends of each."""
    sha = hashlib.sha256()
    for shard in shards:
        size = shard.stat().st_size
        sha.update(f"{shard.name} {size}\n".encode())
        with shard.open("rb") as file:
            sha.update(file.read(LOOKED_AT))
            file.seek(max(size - LOOKED_AT, 0))
            sha.update(file.read(LOOKED_AT))
    return sha.hexdigest()
