"""Making the records that a cache does not have yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmsdk.cache.folder import cache_limit, make_room
from mmsdk.cache.looks import Keys
from mmsdk.cache.store import Record, Store, size_of
from mmsdk.data.samples import Row
from mmsdk.pipeline.modalities import Port

SHARD_BYTES = 64 * 10**6
"""Records that are written together, and that a process which is killed has to make again."""


class Value(NamedTuple):
    """The key of a raw value, and the row that it was met in first."""

    key: bytes
    row: Row


class Filled(NamedTuple):
    """How many values a cache had, how many were made, and whether all found room."""

    found: int
    made: int
    whole: bool = True


def distinct(
    port: Port, rows: Iterable[Row], keys: Keys, wanted: Callable[[Any], bool] = lambda raw: True
) -> list[Value]:
    """The different values of a port in these rows. One whose file is not there is told where its sample is used."""
    found: dict[bytes, Value] = {}
    for row in rows:
        raw = port.raw(row)
        if raw is not None and wanted(raw):
            try:
                key = keys(raw)
            except OSError:
                continue
            found.setdefault(key, Value(key, row))
    return list(found.values())


def fill(
    root: Path,
    store: Store,
    values: Sequence[Value],
    made: Callable[[list[Value]], Iterator[tuple[bytes, Record]]],
    beyond: bool = False,
) -> Filled:
    """Have `made` make what the store does not have.

    Records in other folders make room; where that is not enough the rest is not made, unless it may go `beyond` the
    limit.

    Raises:
        OSError, SafetensorError: the disk is full, or the folder cannot be written.
    """
    missing = [value for value in values if value.key not in store]
    count = 0
    if missing and not beyond and not make_room(root, cache_limit() - SHARD_BYTES, keep=[store.folder]):
        return Filled(len(values) - len(missing), 0, False)  # before anything is made in vain
    for shard in _shards(made(missing) if missing else iter(())):
        size = sum(size_of(record) for _, record in shard)
        if not make_room(root, cache_limit() - size, keep=[store.folder]) and not beyond:
            return Filled(len(values) - len(missing), count, False)
        store.add(shard)
        count += len(shard)
    return Filled(len(values) - len(missing), count)


def _shards(records: Iterator[tuple[bytes, Record]]) -> Iterator[list[tuple[bytes, Record]]]:
    shard, size = [], 0
    for key, record in records:
        shard.append((key, record))
        size += size_of(record)
        if size >= SHARD_BYTES:
            yield shard
            shard, size = [], 0
    if shard:
        yield shard
