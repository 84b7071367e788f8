"""Data sets with splits of their own: of the Hugging Face hub, and folders that `datasets` has written or can read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmsdk.config.pipeline import HubConfig
from mmsdk.data.arrow import ArrowTable, quiet, require_datasets, table_of, why
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
