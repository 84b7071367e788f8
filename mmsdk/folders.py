"""Folders that are whole or not there: written aside, sealed by a manifest, renamed, verified.

Also trees of JSON values and tensors, kept as one .json and one .safetensors file. Nothing here is ever a pickle.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from mmsdk.errors import CheckpointError

MANIFEST = "MANIFEST.json"
ASIDE = ".writing-"
TENSOR = "$tensor"


def write_folder(folder: Path, fill: Callable[[Path], None]) -> Path:
    """Have `fill` write a folder so that, whenever the process dies, `folder` is either whole or as it was.

    Files and folders are flushed to disk, the manifest (sizes and sha256) last, before the rename makes them visible.
    """
    aside = folder.with_name(f"{ASIDE}{folder.name}")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    fill(aside)
    entries = {}
    for path in sorted(aside.rglob("*")):
        if path.is_file():
            _flush(path)
            entries[path.relative_to(aside).as_posix()] = {
                "size": path.stat().st_size,
                "sha256": _sha256(path),
            }
    manifest = aside / MANIFEST
    manifest.write_text(json.dumps({"files": entries}, indent=1))
    _flush(manifest)
    for path in [*(path for path in aside.rglob("*") if path.is_dir()), aside]:
        _flush(path)
    if folder.exists():  # a folder with content cannot be replaced in one step: move the old one away first
        old = folder.with_name(f"{ASIDE}old-{folder.name}")
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
        aside.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    else:
        aside.rename(folder)
    _flush(folder.parent)
    return folder


def verify_folder(folder: Path, names: Iterable[str] | None = None) -> None:
    """Check a folder against its manifest: the named files, or all of them and that nothing was added.

    Raises:
        CheckpointError: a file is missing, added, cut, or has other content; or there is no manifest.
    """
    try:
        entries = json.loads((folder / MANIFEST).read_text())["files"]
    except FileNotFoundError:
        raise CheckpointError(f"{folder}: there is no {MANIFEST}: this was never written to its end") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder / MANIFEST}: damaged: {error}") from None
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {MANIFEST}
    wanted = set(entries) if names is None else set(names)
    for name in sorted(wanted - found) + sorted(found - wanted if names is None else wanted - set(entries)):
        raise CheckpointError(f"{folder / name}: {'not in the manifest' if name in found else 'is missing'}")
    for name in wanted:
        path, entry = folder / name, entries[name]
        if path.stat().st_size != entry["size"] or _sha256(path) != entry["sha256"]:
            raise CheckpointError(f"{path}: damaged: its content is not what was written")


def sweep(parent: Path) -> None:
    """Remove what a dead process left half written; bring back a folder that was being replaced."""
    for path in parent.glob(f"{ASIDE}*"):
        replaced = parent / path.name.removeprefix(f"{ASIDE}old-")
        if path.name.startswith(f"{ASIDE}old-") and not replaced.exists():
            path.rename(replaced)
        else:
            shutil.rmtree(path, ignore_errors=True)


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
        return given(json.loads(path.with_suffix(".json").read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from None


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
