"""A batch: only present values travel, each distinct one once, with an index that says which sample uses which."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmsdk.containers import Batch, Inputs
from mmsdk.data.samples import Row
from mmsdk.data.tables import Cells
from mmsdk.errors import DecodeError
from mmsdk.pipeline.modalities import Port

MEMORY_BYTES = 512 * 2**20
Change = Callable[[Port, Row, Any], Any]
"""What becomes of an item of a stream."""
Items = dict[str, tuple[Any, Any, Any]]
"""By port: what tells equal values apart, the item, and the value, because an id() is only good while that lives."""


class Collated(NamedTuple):
    """A batch, and by place what could not be read on the way; such samples take no part in the batch."""

    batch: Batch
    bad: dict[int, DecodeError]


class Collator:
    """Turns rows into a batch. A plain object: it goes to worker processes, the model must not.

    targets: the heads whose targets are read; each has an entry in the batch even where no row has the value, so
    that every process computes the same losses in the same order. seed: of the augmentation in training, where the
    same rows come again and again.
    """

    def __init__(self, streams: Sequence[Port], targets: Sequence[Port], *, seed: int | None = None) -> None:
        self.streams, self.targets, self.seed = streams, targets, seed
        self._memory: dict[tuple[str, Any], tuple[Any, Any]] = {}  # the item and, again, the value
        self._room = MEMORY_BYTES

    def __call__(self, rows: Sequence[Row | None], epoch: int = 0, change: Change | None = None) -> Collated:
        """None stands for a place that is only filled up. `epoch` varies the augmentation; `change` comes after it."""
        bad: dict[int, DecodeError] = {}
        streams: list[Items] = []
        targets: list[Items] = []
        for place, row in enumerate(rows):
            try:
                read = self._read(self.streams, row, epoch, change), self._read(self.targets, row, None, None)
            except DecodeError as error:
                bad[place] = error
                read = {}, {}
            streams.append(read[0])
            targets.append(read[1])
        ids = [row.id if row is not None else "" for row in rows]
        return Collated(Batch(ids, *_stacked(self.streams, streams), *_stacked(self.targets, targets)), bad)

    def length(self, row: Row) -> int:
        """How long a row's texts are, for batches of similar lengths. They are remembered until the row is collated.

        Other values take too much memory to be read before their batch: they count as equally long.
        """
        found = 0
        for port in self.streams:
            value = port.raw(row)
            if isinstance(value, str):
                with suppress(DecodeError):  # it is told where the row is collated
                    found += port.modality.length(self._prepared(port, row, value, identity(value)))
        return found

    def shares(self, rows: Sequence[Row]) -> bool:
        """Whether any of the rows have the same value, other than a text."""
        for port in self.streams:
            values = [value for row in rows if not isinstance(value := port.raw(row), str | None)]
            if len({identity(value) for value in values}) < len(values):
                return True
        return False

    def forget(self) -> None:
        """What was remembered: in a file of any size, most values do not come again."""
        self._memory.clear()
        self._room = MEMORY_BYTES

    def _read(self, ports: Sequence[Port], row: Row | None, epoch: int | None, change: Change | None) -> Items:
        """The item of each port that has a value in the row, augmented where there is an epoch."""
        items: Items = {}
        for port in ports if row is not None else ():
            assert row is not None
            value = port.raw(row)
            if value is None:
                continue
            who = identity(value)
            item = self._prepared(port, row, value, who)
            if self.seed is not None and epoch is not None and port.modality.augments:
                item = port.modality.augment(item, randomness(port, row, self.seed, epoch))
            if change is not None:
                who, item = _luck(port, row), change(port, row, item)
            items[port.name] = (who, item, value)
        return items

    def _prepared(self, port: Port, row: Row, value: Any, who: Any) -> Any:
        """An item, from memory where it was made before; outside training most values come only once.

        So do the objects of a table, which makes them anew at each look.
        """
        fleeting = self.seed is None or (isinstance(row.values, Cells) and not isinstance(value, bytes | int | float))
        if fleeting and not isinstance(value, str | Path):
            return port.prepare(row, value)
        key = (port.name, who)
        if key not in self._memory:
            item = port.prepare(row, value)
            size = _size(item) + (len(value) if isinstance(value, bytes) else 0)
            if size > self._room:
                return item
            self._room -= size
            self._memory[key] = item, value
        return self._memory[key][0]


def _stacked(ports: Sequence[Port], rows: Sequence[Items]) -> tuple[dict[str, Inputs], dict[str, Tensor]]:
    """Per port: the inputs of its distinct values (a blank where there is none), and each row's place among them."""
    inputs, index = {}, {}
    for port in ports:
        places: dict[Any, int] = {}
        distinct: list[Any] = []
        own = []
        for items in rows:
            if port.name not in items:
                own.append(-1)
                continue
            who, item, _ = items[port.name]
            if who not in places:
                places[who] = len(distinct)
                distinct.append(item)
            own.append(places[who])
        inputs[port.name] = port.modality.collate(distinct or [port.modality.blank()])
        index[port.name] = torch.tensor(own, dtype=torch.int64)
    return inputs, index


def identity(value: Any) -> Any:
    """What tells values apart: what they are where that is cheap to compare, else which object of the row they are."""
    if isinstance(value, bytes):  # whole files: a table makes them anew at each look, and none is to be held by this
        return bytes, hashlib.blake2b(value, digest_size=16).digest()
    if isinstance(value, dict):  # of several columns: made anew at each look, so its own id() tells nothing
        return tuple((key, identity(cell)) for key, cell in value.items())
    if isinstance(value, list) and any(isinstance(each, Path) for each in value[:1]):  # so are paths
        return tuple(value)
    return (type(value), value) if isinstance(value, str | Path | int | float) else id(value)


def randomness(port: Port, row: Row, *seeds: int | str) -> np.random.Generator:
    """Rows that share a value share what is random, wherever the data lies and however many workers there are."""
    text = " ".join(map(str, (*seeds, port.name, _luck(port, row))))
    return np.random.default_rng(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()))


def _luck(port: Port, row: Row) -> str | int | float:
    """What rows have in common that share what is random."""
    raw = row.value(port.column)
    return raw if isinstance(raw, str | int | float) else row.id


def _size(item: Any) -> int:
    """Roughly how many bytes an item takes."""
    if isinstance(item, np.ndarray | Tensor):
        return int(item.nbytes)
    return sum(_size(part) for part in item) if isinstance(item, tuple | list) else 64
