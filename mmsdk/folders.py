"""Folders that are whole or not there: written aside, sealed by a manifest, renamed, verified.

Also trees of JSON values and tensors, kept as one .json and one .safetensors file. Nothing here is ever a pickle.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from mmsdk.errors import CheckpointError, UnwritableError

MANIFEST = "MANIFEST.json"
ASIDE, REPLACED = ".writing-", ".replaced-"
TENSOR = "$tensor"


def write_folder(folder: Path, fill: Callable[[Path], None]) -> Path:
    """Have `fill` write a folder so that, whenever the process dies, `folder` is either whole or as it was.

    Files and folders are flushed to disk, the manifest (sizes and sha256) last, before the rename makes them visible.

    Raises:
        CheckpointError: it cannot be written, such as to a full disk; what stood there is still there.
    """
    aside = folder.with_name(f"{ASIDE}{folder.name}")
    shutil.rmtree(aside, ignore_errors=True)
    with writing(folder):
        try:
            aside.mkdir(parents=True)
            fill(aside)
            _seal(aside)
            _put(aside, folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    return folder


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Says what to do about a full disk and its like.

    Raises:
        UnwritableError: instead of an OSError, or of what safetensors makes of one.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise UnwritableError(
            f"{path}: cannot be written: {error}. Make room there, or choose another folder; a training run that was "
            "stopped by this goes on with --resume."
        ) from None


def _seal(folder: Path) -> None:
    """Flush a folder to disk, with a manifest of what is in it."""
    paths = sorted(folder.rglob("*"))
    files = {path.relative_to(folder).as_posix(): path for path in paths if path.is_file()}
    for path in files.values():
        flush(path)
    manifest = folder / MANIFEST
    manifest.write_text(json.dumps({"files": {name: entry(path) for name, path in files.items()}}, indent=1))
    for path in [manifest, *(path for path in paths if path.is_dir()), folder]:
        flush(path)


def _put(aside: Path, folder: Path) -> None:
    """Rename `aside` to `folder`. One with content cannot be replaced in one step: it is moved away first."""
    old = folder.with_name(f"{REPLACED}{folder.name}")
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
    aside.rename(folder)
    flush(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def standing(folder: Path) -> Path:
    """The folder itself, or the one that was just being replaced where the process died in between."""
    old = folder.with_name(f"{REPLACED}{folder.name}")
    return old if old.exists() and not folder.exists() else folder


def verify_folder(folder: Path, names: Iterable[str] | None = None) -> None:
    """Check a folder against its manifest: the named files, or all of them and that nothing was added.

    Raises:
        CheckpointError: a file is missing, added, cut, or has other content; or there is no manifest.
    """
    entries = entries_of(folder)
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {MANIFEST}
    wanted = set(entries) if names is None else set(names)
    for name in sorted(wanted - found) + sorted(found - wanted if names is None else wanted - set(entries)):
        raise CheckpointError(f"{folder / name}: {'not in the manifest' if name in found else 'is missing'}")
    for name in wanted:
        path = folder / name
        try:
            same = entry(path) == entries[name]
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read: {error}") from None
        if not same:
            raise CheckpointError(f"{path}: damaged: its content is not what was written")


def entries_of(folder: Path) -> dict[str, Any]:
    """What the manifest of a folder says of each file, as it was written.

    Raises:
        CheckpointError: there is no manifest, or it is damaged.
    """
    if not (folder / MANIFEST).is_file():
        raise CheckpointError(f"{folder}: there is no {MANIFEST}: this was never written to its end")
    try:
        return dict(read_json(folder / MANIFEST)["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder / MANIFEST}: damaged: {error}") from None


def open_folder(folder: Path) -> Path:
    """Where the content of a folder stands that `write_folder` wrote, once it is verified: usually in the folder.

    Raises:
        CheckpointError: see `verify_folder`.
    """
    home = standing(folder)
    verify_folder(home)
    return home


def sweep(parent: Path) -> None:
    """Remove what a dead process left half written; bring back a folder that was being replaced."""
    for path in parent.glob(f"{REPLACED}*"):
        replaced = parent / path.name.removeprefix(REPLACED)
        if not replaced.exists():
            path.rename(replaced)
    for path in [*parent.glob(f"{ASIDE}*"), *parent.glob(f"{REPLACED}*")]:
        shutil.rmtree(path, ignore_errors=True)


def read_json(path: Path) -> Any:
    """What a JSON file holds, whoever wrote it.

    Raises:
        CheckpointError: it cannot be read, is no JSON, or is nested too deeply for any that was written here.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: damaged: {error}") from None


def save_tree(tree: Any, path: Path) -> None:
    """Write JSON values with tensors among them as `path`.json and `path`.safetensors."""
    tensors: dict[str, torch.Tensor] = {}

    def taken(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            value = torch.from_numpy(np.ascontiguousarray(value))
        if isinstance(value, torch.Tensor):
            name = str(len(tensors))
            tensors[name] = value.detach().cpu().contiguous().clone()
            return {TENSOR: name}
        if isinstance(value, Mapping):
            return {key: taken(item) for key, item in value.items()}
        return [taken(item) for item in value] if isinstance(value, list | tuple) else value

    path.with_suffix(".json").write_text(json.dumps(taken(tree), ensure_ascii=False, indent=1), encoding="utf-8")
    save_file(tensors, path.with_suffix(".safetensors"))


def load_tree(path: Path) -> Any:
    """Read what `save_tree` wrote.

    Raises:
        CheckpointError: a file is missing or damaged.
    """

    def given(value: Any) -> Any:
        if isinstance(value, dict):
            return tensors[value[TENSOR]] if TENSOR in value else {key: given(item) for key, item in value.items()}
        return [given(item) for item in value] if isinstance(value, list) else value

    try:
        tensors = load_file(path.with_suffix(".safetensors"))
        return given(read_json(path.with_suffix(".json")))
    except (OSError, ValueError, KeyError, TypeError, RecursionError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from None


def flush(path: Path) -> None:
    """Have what was written to a file or a folder survive a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def entry(path: Path) -> dict[str, Any]:
    """What a manifest says of a file."""
    with path.open("rb") as file:
        return {"size": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
