"""Training rows that are read one after the other, shard by shard, as they are too many to be kept or looked up.

The order of an epoch is a pure function of (seed, stage, epoch), and the same for any number of processes:

- The shards, in random order, are dealt to lanes. A lane mixes the rows of its shards within a buffer; where its
  shards end, it goes on with its part of a new deal.
- Each lane fills the same places of every batch. A process reads the lanes that fill its share of the batches.

So processes read different shards and compute together what one would, and a run is resumed by reading again what it
has read of the epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mmsdk.config.data import ARROW_FILES, DataConfig, StreamingConfig
from mmsdk.data.samples import Row, read_rows
from mmsdk.data.sampling import FILLER, share
from mmsdk.data.shards import shards_of
from mmsdk.data.tables import fingerprint_of
from mmsdk.errors import DataError, listed

MOST_LANES = 16
Shard = Callable[[], Iterator[Row]]
"""Reads its rows from the first to the last."""
Parts = list[list[Row | None]]
"""The share of one process in each part of a batch; None fills up."""


class Streamed:
    """The rows of a split, epoch by epoch.

    usable: whether a row is trained on. fingerprint: what tells the shards from others. place: for messages.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        config: StreamingConfig,
        usable: Callable[[Row], bool],
        fingerprint: str,
        place: str,
    ) -> None:
        self.shards, self.config, self.usable = shards, config, usable
        self.fingerprint, self.place = fingerprint, place

    def lanes(self, batch_size: int) -> int:
        """As many as shards allow, of which each fills as many places of a batch as any other."""
        most = min(len(self.shards), MOST_LANES, batch_size)
        return next(count for count in range(most, 0, -1) if batch_size % count == 0)

    def told(self, batch_size: int, step: int) -> str:
        """What a user should know of the order of the rows, and of going on at a step of it."""
        lanes, again = self.lanes(batch_size), step % self.config.steps_per_epoch * batch_size
        mixed = max(1, self.config.buffer // lanes)
        told = f"streams {len(self.shards)} shards in {lanes} lanes, rows mixed among {mixed:,} of their lane"
        return told + (f"; reads {again:,} rows again to go on exactly where it stood" if again else "")

    def epoch(
        self, order: Sequence[int], batch_size: int, rank: int = 0, processes: int = 1, parts: int = 1, skip: int = 0
    ) -> Iterator[Parts]:
        """This process's share of each batch. order: seed, stage, epoch. skip: batches at the beginning to pass over.

        Raises:
            DataError: no shard has a usable row, or one is truncated or damaged.
        """
        shares = share(range(batch_size), rank, processes, parts)
        lanes = self.lanes(batch_size)
        each = batch_size // lanes
        own = sorted({place // each for part in shares for place in part if place != FILLER})
        running = {lane: self._lane(order, lane, lanes) for lane in own}
        for step in range(self.config.steps_per_epoch):
            drawn = {lane * each + number: next(rows) for lane, rows in running.items() for number in range(each)}
            if step >= skip:
                yield [[None if place == FILLER else drawn[place] for place in part] for part in shares]

    def beginning(self, count: int) -> Iterator[Row]:
        """Some rows of all shards by turns, as far as there are so many; each once."""
        turns = [self._rows([shard]) for shard in self.shards]
        while turns:
            for rows in list(turns):
                row = next(rows, None)
                if row is None:
                    turns.remove(rows)
                    continue
                yield row
                count -= 1
                if not count:
                    return

    def _lane(self, order: Sequence[int], lane: int, lanes: int) -> Iterator[Row]:
        """The rows of a lane, without end."""
        room = max(1, self.config.buffer // lanes)
        deals = empty = 0
        while empty <= len(self.shards):  # a deal may leave a lane with nothing but empty shards
            dealt = np.random.default_rng([*order, deals]).permutation(len(self.shards))[lane::lanes]
            rng = np.random.default_rng([*order, deals, lane])
            empty += 1
            for row in _mixed(self._rows([self.shards[number] for number in dealt]), room, rng):
                empty = 0
                yield row
            deals += 1
        raise DataError(f"{self.place}: there are no usable rows to stream")

    def _rows(self, shards: Sequence[Shard]) -> Iterator[Row]:
        return (row for shard in shards for row in shard() if self.usable(row))


def _mixed(rows: Iterator[Row], room: int, rng: np.random.Generator) -> Iterator[Row]:
    """The rows in random order, as far as a buffer of `room` rows allows."""
    waiting: list[Any] = []
    for row in rows:
        if len(waiting) < room:
            waiting.append(row)
            continue
        place = int(rng.integers(room))
        yield waiting[place]
        waiting[place] = row
    yield from (waiting[place] for place in rng.permutation(len(waiting)))


def open_stream(data: DataConfig, usable: Callable[[Row], bool]) -> Streamed:
    """The rows of the split that is streamed. usable: whether a row is trained on.

    Raises:
        DataError: there is no such split, or see `read_rows`.
    """
    assert data.streaming is not None
    path = data.files.get(data.train_split, data.path)
    if path is None or path.is_dir():
        from mmsdk.data.hub import open_streams

        splits, told = open_streams(data)
        if data.train_split not in splits:
            raise DataError(f"{data.place}: has no split '{data.train_split}' to stream, but {listed(splits)}")
        return Streamed(splits[data.train_split], data.streaming, usable, told, data.place)
    files = shards_of(path)
    shards = [partial(_shard, file, data.id_column) for file in files]
    return Streamed(shards, data.streaming, usable, fingerprint_of(files), str(path))


def _shard(file: Path, id_column: str) -> Iterator[Row]:
    """The rows of one file, as they come."""
    if file.suffix.lower() not in ARROW_FILES:
        return read_rows(file, id_column)
    from mmsdk.data.arrow import rows_of

    return rows_of(file, id_column)
