"""Records on disk, by content: shards of safetensors in one folder, mapped into memory.

A shard is written aside and renamed, and never changed: whoever reads sees it whole or not at all, and any number of
processes may read, write and be killed at the same time. Two that make the same records at once do so twice.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mmsdk.cache.keys import SIZE
from mmsdk.errors import CheckpointError

ENDING = ".safetensors"
ASIDE = ".writing-"
KEYS, VALUES, SHAPES = "keys", "values.", "shapes."

Record = Mapping[str, Tensor]
"""Tensors by name, of any shapes."""
Sizes = Mapping[str, tuple[int | str, ...]]
"""The shape that each tensor of a record has; a name is a length, the same one wherever it stands in a record."""


class Field(NamedTuple):
    """What the records of a shard have under one name, one after the other: [all of it], with the shape of each."""

    values: Tensor
    shapes: list[list[int]]
    starts: list[int]

    def __call__(self, place: int) -> Tensor:
        return self.values[self.starts[place] : self.starts[place + 1]].view(self.shapes[place])


class Store:
    """Records by key.

    folder: of records that belong together, such as those of one encoder; made when the first shard is written. sizes:
    of the tensors, where they are known; a shard of others is damaged.
    """

    def __init__(self, folder: Path, sizes: Sizes | None = None) -> None:
        self.folder, self.sizes = folder, sizes
        self._shards: dict[str, dict[str, Field]] = {}
        self._places: dict[bytes, tuple[str, int]] = {}
        self.look()

    def __getstate__(self) -> tuple[Path, Sizes | None]:
        return self.folder, self.sizes  # a worker process maps the files itself

    def __setstate__(self, state: tuple[Path, Sizes | None]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    def look(self) -> None:
        """Open the shards that have come since. A damaged one is removed: what it held will be made again.

        Raises:
            CheckpointError: the folder is a link. Files elsewhere are no shards, and would be removed as damaged.
        """
        if self.folder.is_symlink():
            raise CheckpointError(f"{self.folder}: is a link, which no cache makes: remove it")
        for path in sorted(self.folder.glob(f"*{ENDING}")):
            if path.name not in self._shards:
                self._open(path)

    def _open(self, path: Path) -> None:
        try:
            shard = load_file(path)  # maps the file; nothing is read before it is used
            keys, fields = _read(shard, self.sizes)
            os.utime(path)  # used just now: the last one to be removed when room is needed
        except FileNotFoundError:  # removed by another process just now
            return
        except (OSError, SafetensorError, KeyError, ValueError):
            path.unlink(missing_ok=True)
            return
        self._shards[path.name] = fields
        for place in range(len(keys) // SIZE):
            self._places.setdefault(keys[place * SIZE : (place + 1) * SIZE], (path.name, place))

    def __contains__(self, key: bytes) -> bool:
        return key in self._places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, key: bytes) -> dict[str, Tensor]:
        name, place = self._places[key]
        return {each: field(place) for each, field in self._shards[name].items()}

    def add(self, records: Sequence[tuple[bytes, Record]]) -> None:
        """Write records; those whose tensors have the same names, types and numbers of dimensions, as one shard.

        Raises:
            OSError, SafetensorError: they cannot be written, such as to a full disk.
        """
        alike: dict[object, list[tuple[bytes, Record]]] = defaultdict(list)
        for key, record in records:
            alike[tuple((name, part.dtype, part.dim()) for name, part in sorted(record.items()))].append((key, record))
        for group in alike.values():
            self._write(group)
        self.look()

    def _write(self, records: Sequence[tuple[bytes, Record]]) -> None:
        keys = b"".join(key for key, _ in records)
        tensors = {KEYS: torch.frombuffer(bytearray(keys), dtype=torch.uint8).view(-1, SIZE)}
        for name in records[0][1]:
            parts = [record[name] for _, record in records]
            tensors[VALUES + name] = torch.cat([part.reshape(-1) for part in parts])
            tensors[SHAPES + name] = torch.tensor([part.shape for part in parts])
        self.folder.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(prefix=ASIDE, dir=self.folder)
        os.close(handle)
        try:
            save_file(tensors, aside)
            os.replace(aside, Path(aside).with_name(Path(aside).name.removeprefix(ASIDE) + ENDING))
        finally:
            Path(aside).unlink(missing_ok=True)


def _read(shard: Mapping[str, Tensor], sizes: Sizes | None) -> tuple[bytes, dict[str, Field]]:
    """The keys of a shard, and what its records have under each name.

    Raises:
        KeyError, ValueError: it cannot have been written here. Whoever can write to the folder can put anything there.
    """
    keys = shard[KEYS]
    names = [name.removeprefix(VALUES) for name in shard if name.startswith(VALUES)]
    if keys.dtype != torch.uint8 or keys.dim() != 2 or keys.shape[1] != SIZE or not names:
        raise ValueError("these are no keys")
    fields = {name: _field(shard[VALUES + name], shard[SHAPES + name]) for name in names}
    if any(len(field.shapes) != len(keys) for field in fields.values()):
        raise ValueError("its parts do not fit each other")
    if sizes is not None and not (fields.keys() == sizes.keys() and _sized(fields, sizes, len(keys))):
        raise ValueError("its records are of another kind")
    return keys.numpy().tobytes(), fields


def _field(values: Tensor, shapes: Tensor) -> Field:
    if values.dim() != 1 or shapes.dim() != 2 or shapes.dtype != torch.int64 or bool((shapes < 0).any()):
        raise ValueError("these are no values with their shapes")
    told = shapes.tolist()
    starts = [0, *accumulate(map(math.prod, told))]  # in whole numbers of Python, which do not overflow
    if starts[-1] != len(values):
        raise ValueError("its parts do not fit each other")
    return Field(values, told, starts)


def _sized(fields: Mapping[str, Field], sizes: Sizes, records: int) -> bool:
    for place in range(records):
        lengths: dict[str, int] = {}
        for name, size in sizes.items():
            shape = fields[name].shapes[place]
            if len(shape) != len(size):
                return False
            for found, wanted in zip(shape, size, strict=True):
                if found != (lengths.setdefault(wanted, found) if isinstance(wanted, str) else wanted):
                    return False
    return True


def size_of(record: Record) -> int:
    """In bytes."""
    return sum(part.nbytes for part in record.values())


def as_record(arrays: Mapping[str, np.ndarray[Any, Any]]) -> Record:
    """Raises TypeError for an array of what is no number."""
    return {name: torch.from_numpy(np.ascontiguousarray(part)) for name, part in arrays.items()}


def as_arrays(record: Record) -> dict[str, np.ndarray[Any, Any]]:
    """Where the record is: nothing is copied."""
    return {name: part.numpy() for name, part in record.items()}
