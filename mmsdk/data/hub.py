"""Data sets with splits of their own: of the Hugging Face hub, and folders that `datasets` has written or can read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from mmsdk.config.data import DataConfig, HubConfig
from mmsdk.data.arrow import ArrowTable, labels_of, plain, quiet, require_datasets, table_of, why
from mmsdk.data.samples import Row, as_row
from mmsdk.data.streaming import Shard
from mmsdk.data.tables import fingerprint_of
from mmsdk.errors import DataError, listed

KINDS = ("parquet", "arrow", "json", "csv", "text", "imagefolder", "audiofolder")
"""What files may be. Each further kind would be a further way in, and scripts are no data at all."""
SAVED = ("dataset_dict.json", "state.json")
"""What `save_to_disk` leaves."""


def open_folder(folder: Path, id_column: str, only: str) -> dict[str, ArrowTable]:
    """The splits of a folder that `save_to_disk` wrote, or of one with files of a kind that `datasets` reads.

    only: what the single split of a folder is called that names none.

    Raises:
        DataError: it is neither, or a file in it is truncated or damaged.
    """
    datasets = require_datasets()
    if not any((folder / name).is_file() for name in SAVED):
        return _opened(datasets, folder.name, folder, id_column, path=str(folder.absolute()))
    try:
        found = datasets.load_from_disk(str(folder))
    except Exception as error:
        raise DataError(f"{folder}: cannot be read: {why(error)}") from None
    splits = found if isinstance(found, dict) else {only: found}
    return {str(name): table_of(each, folder.name, id_column, folder.absolute()) for name, each in splits.items()}


def open_hub(hub: HubConfig, id_column: str) -> dict[str, ArrowTable]:
    """The splits of a data set of the hub. It is downloaded once, into the cache of `datasets`.

    Raises:
        DataError: there is none of that name or revision, it is of another kind, or the hub cannot be reached.
    """
    datasets = require_datasets()
    require_remote(hub)
    return _opened(datasets, hub.name, None, id_column, path=hub.name, name=hub.subset, revision=hub.revision)


def open_streams(data: DataConfig) -> tuple[dict[str, list[Shard]], str]:
    """The shards of each split of a data set or a folder, which are read where they are, and what tells them apart.

    Raises:
        DataError: see `open_hub` and `open_folder`.
    """
    datasets = require_datasets()
    if data.hub is not None:
        require_remote(data.hub)
        hub = data.hub
        builder = builder_of(datasets, data.place, path=hub.name, name=hub.subset, revision=hub.revision)
        home = None
    else:
        assert data.path is not None
        if any((data.path / name).is_file() for name in SAVED):
            raise DataError(f"{data.place}: lies on this disk already and is mapped: leave 'streaming' out")
        builder = builder_of(datasets, data.place, path=str(data.path.absolute()))
        home = data.path.absolute()
    files = [str(each) for each in (builder.config.data_files or {}).get(data.train_split, [])]
    local = [Path(each) for each in files if "://" not in each]
    told = fingerprint_of(local) if len(local) == len(files) else hashlib.sha256(repr(files).encode()).hexdigest()
    try:
        with quiet(datasets):
            found = builder.as_streaming_dataset()
    except Exception as error:
        raise DataError(f"{data.place}: cannot be opened: {why(error)[:300]}") from None
    return {str(name): _shards(each, data, str(name), home) for name, each in found.items()}, told


def _shards(dataset: Any, data: DataConfig, split: str, home: Path | None) -> list[Shard]:
    labels = labels_of(dataset.features)
    raw = dataset.decode(False) if dataset.features else dataset
    whole = raw.num_shards
    return [
        partial(_rows, raw.shard(whole, number), f"{data.place}/{split}/{number}", labels, data.id_column, home)
        for number in range(whole)
    ]


def _rows(shard: Any, name: str, labels: dict[str, list[str]], id_column: str, home: Path | None) -> Iterator[Row]:
    rows = iter(shard)
    for number in count(1):
        try:
            values = next(rows, None)
        except Exception as error:
            raise DataError(f"{name}: cannot be read after row {number - 1}: {why(error)[:300]}") from None
        if values is None:
            return
        found = {column: plain(value, labels.get(column)) for column, value in values.items()}
        yield as_row(found, f"{name}:{number}", id_column, home)


def require_remote(hub: HubConfig) -> None:
    """Raises DataError where `datasets` would take a folder that is called like the data set."""
    if Path(hub.name).exists():
        raise DataError(f"data.hub: '{hub.name}' is a folder here, too: write 'path: {hub.name}' if that is meant")


def builder_of(datasets: Any, what: str, **where: Any) -> Any:
    """What `datasets` would read it with, known to be harmless.

    Raises:
        DataError: there is nothing to be read, or only in a way that is not taken.
    """
    try:
        with quiet(datasets):
            builder = datasets.load_dataset_builder(**where)
    except Exception as error:
        raise DataError(f"{what}: cannot be opened: {why(error)[:300]}") from None
    kind = type(builder).__module__.rpartition(".")[2]
    if kind not in KINDS or not type(builder).__module__.startswith("datasets."):
        hint = ": name the shards instead, such as train: 'shards/train-*.tar'" if kind == "webdataset" else ""
        raise DataError(f"{what}: holds files of the kind '{kind}'; what is read is {listed(KINDS)}{hint}")
    return builder


def _opened(datasets: Any, what: str, folder: Path | None, id_column: str, **where: Any) -> dict[str, ArrowTable]:
    builder = builder_of(datasets, what, **where)
    try:
        with quiet(datasets):
            builder.download_and_prepare()
            found = builder.as_dataset()
    except Exception as error:
        raise DataError(f"{what}: cannot be read: {why(error)[:300]}") from None
    home = folder.absolute() if folder is not None else None
    return {str(name): table_of(each, f"{what}/{name}", id_column, home) for name, each in found.items()}
