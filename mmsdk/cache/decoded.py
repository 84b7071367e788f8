"""The decoded cache: what files hold, decoded once, brought to size, and mapped into memory from then on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader, Dataset

from mmsdk.cache.code import code_key
from mmsdk.cache.filling import Filled, Value, distinct, fill
from mmsdk.cache.folder import cache_folder
from mmsdk.cache.looks import Keys
from mmsdk.cache.store import Record, Store, as_arrays, as_record
from mmsdk.components import ModalityConfig
from mmsdk.data.samples import Row
from mmsdk.errors import DecodeError, PluginError, told
from mmsdk.interfaces import Modality
from mmsdk.pipeline.modalities import Port

FORMAT = 1
"""Of what goes into a folder's name; another one begins anew."""


class Decoded:
    """The items of a modality that are on disk, by content: see `docs/decoded_cache.md`.

    config: what the modality was built from.

    Raises:
        TypeError: its code is in no file.
    """

    def __init__(self, config: ModalityConfig, modality: Modality, root: Path | None = None) -> None:
        self.modality, self.root = modality, root or cache_folder()
        self.keys = Keys(self.root)
        self.store = Store(self.root / "decoded" / _key(config, modality))

    def __call__(self, value: Any) -> Any:
        """The item of a value; None where it is not known."""
        if not names_files(value):
            return None
        try:
            key = self.keys(value)
        except (OSError, TypeError):
            return None
        if key not in self.store:
            return None
        return self.modality.unpack(as_arrays(self.store[key]))

    def fill(self, port: Port, rows: Iterable[Row], rank: int = 0, processes: int = 1, workers: int = 0) -> Filled:
        """Decode this process's share of the files that are not known, with so many worker processes.

        A file that cannot be read is passed over here, and met again where it is used.

        Raises:
            OSError, SafetensorError: the folder cannot be written.
        """
        own = distinct(port, rows, self.keys, names_files)[rank::processes]
        filled = fill(self.root, self.store, own, lambda missing: _items(port, missing, workers))
        self.keys.keep()
        return filled


def _items(port: Port, values: list[Value], workers: int) -> Iterator[tuple[bytes, Record]]:
    made = DataLoader(_Items(port, values), batch_size=None, num_workers=workers, collate_fn=_as_it_is)
    for value, record in zip(values, made, strict=True):
        if record is not None:
            yield value.key, record


class _Items(Dataset[Record | None]):
    """Values packed, for worker processes; None for one that cannot be read."""

    def __init__(self, port: Port, values: list[Value]) -> None:
        self.port, self.values = port, values

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, place: int) -> Record | None:
        value, modality = self.values[place], self.port.modality
        try:
            item = self.port.prepare(value.row, self.port.raw(value.row))
        except DecodeError:
            return None
        try:
            return as_record(modality.pack(item))
        except Exception as error:
            raise PluginError(f"{type(modality).__name__}.pack failed with {told(error)}") from error


def _as_it_is(record: Any) -> Any:
    return record


def names_files(value: Any) -> bool:
    """Whether it is the path of a file, or a list of some."""
    return isinstance(value, Path) or (isinstance(value, list) and any(isinstance(each, Path) for each in value))


def _key(config: ModalityConfig, modality: Modality) -> str:
    """What items depend on, as the name of a folder: settings, what was learned, code."""
    sha = hashlib.sha256(f"{FORMAT} {code_key(config)}\n".encode())
    for part in (config.model_dump(mode="json"), modality.state()):
        sha.update(json.dumps(part, sort_keys=True, default=lambda numbers: numbers.tolist()).encode())
    return sha.hexdigest()[:32]
