"""Encodings on disk, by content: shards of safetensors in one folder, mapped into memory.

A shard is written aside and renamed, and never changed: whoever reads sees it whole or not at all, and any number of
processes may read, write and be killed at the same time. Two that encode the same values at once do so twice.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mmsdk.containers import Encoding
from mmsdk.errors import CheckpointError
from mmsdk.features.keys import SIZE

ENDING = ".safetensors"
ASIDE = ".writing-"
DAY = 24 * 60 * 60


class FeatureStore:
    """The encodings of single values: tokens [length, width], mask [length] and pooled [pooled_width].

    folder: of one encoder with its weights and its modality; made when the first shard is written. widths: of tokens
    and pooled vectors; a shard of others is damaged.
    """

    def __init__(self, folder: Path, widths: tuple[int, int] | None = None) -> None:
        self.folder, self.widths = folder, widths
        self._shards: dict[str, dict[str, Tensor]] = {}
        self._places: dict[bytes, tuple[str, int]] = {}
        self.look()

    def __getstate__(self) -> tuple[Path, tuple[int, int] | None]:
        return self.folder, self.widths  # a worker process maps the files itself

    def __setstate__(self, state: tuple[Path, tuple[int, int] | None]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    def look(self) -> None:
        """Open the shards that have come since. A damaged one is removed: what it held will be encoded again.

        Raises:
            CheckpointError: the folder is a link. Files elsewhere are no shards, and would be removed as damaged.
        """
        if self.folder.is_symlink():
            raise CheckpointError(f"{self.folder}: is a link, which no feature cache makes: remove it")
        for path in sorted(self.folder.glob(f"*{ENDING}")):
            if path.name not in self._shards:
                self._open(path)

    def _open(self, path: Path) -> None:
        try:
            shard = load_file(path)  # maps the file; nothing is read before it is used
            if not _fits(shard, self.widths):
                raise ValueError("its parts do not fit each other")
            keys = shard["keys"].numpy().tobytes()
            os.utime(path)  # used just now: the last one to be removed when room is needed
        except FileNotFoundError:  # removed by another process just now
            return
        except (OSError, SafetensorError, KeyError, ValueError):
            path.unlink(missing_ok=True)
            return
        self._shards[path.name] = shard
        for place in range(len(shard["keys"])):
            self._places.setdefault(keys[place * SIZE : (place + 1) * SIZE], (path.name, place))

    def __contains__(self, key: bytes) -> bool:
        return key in self._places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, key: bytes) -> Encoding:
        name, place = self._places[key]
        shard = self._shards[name]
        start, end = shard["starts"][place : place + 2].tolist()
        return Encoding(shard["tokens"][start:end], shard["mask"][start:end], shard["pooled"][place])

    def add(self, keys: Sequence[bytes], encodings: Sequence[Encoding]) -> None:
        """Write a shard.

        Raises:
            OSError, SafetensorError: it cannot be written, such as to a full disk.
        """
        if not keys:
            return
        lengths = torch.tensor([0, *(len(each.mask) for each in encodings)])
        tensors = {
            "keys": torch.frombuffer(bytearray(b"".join(keys)), dtype=torch.uint8).view(-1, SIZE),
            "starts": lengths.cumsum(0),
            "tokens": torch.cat([each.tokens for each in encodings]).contiguous(),
            "mask": torch.cat([each.mask for each in encodings]),
            "pooled": torch.stack([each.pooled for each in encodings]),
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(prefix=ASIDE, dir=self.folder)
        os.close(handle)
        try:
            save_file(tensors, aside)
            os.replace(aside, Path(aside).with_name(Path(aside).name.removeprefix(ASIDE) + ENDING))
        finally:
            Path(aside).unlink(missing_ok=True)
        self.look()


def _fits(shard: dict[str, Tensor], widths: tuple[int, int] | None) -> bool:
    """Whether it can have been written here: whoever can write to the folder can put anything there."""
    keys, starts, tokens, mask, pooled = (shard[name] for name in ("keys", "starts", "tokens", "mask", "pooled"))
    if [each.dim() for each in (keys, starts, tokens, mask, pooled)] != [2, 1, 2, 1, 2]:
        return False
    if (keys.dtype, starts.dtype, mask.dtype) != (torch.uint8, torch.int64, torch.bool) or keys.shape[1] != SIZE:
        return False
    if not (tokens.is_floating_point() and pooled.dtype == tokens.dtype and len(mask) == len(tokens)):
        return False
    if not len(keys) == len(starts) - 1 == len(pooled) or (widths or _widths(shard)) != _widths(shard):
        return False
    ordered = starts[0] == 0 and starts[-1] == len(tokens) and (starts.diff() > 0).all()
    return bool(ordered)


def _widths(shard: dict[str, Tensor]) -> tuple[int, int]:
    return shard["tokens"].shape[1], shard["pooled"].shape[1]


def make_room(root: Path, limit: int, keep: Iterable[Path] = ()) -> None:
    """Remove the shards that nobody has used for longest, until those under `root` take `limit` bytes at most.

    keep: folders in use. Who has a removed shard open reads on: the file lives until it is closed.
    """
    kept = set(keep)
    found = []
    for path in root.glob(f"*/{ASIDE}*"):  # of processes that died
        if not path.parent.is_symlink() and path.exists() and time.time() - path.stat().st_mtime > DAY:
            path.unlink(missing_ok=True)
    for path in root.glob(f"*/*{ENDING}"):
        if path.parent.is_symlink():  # what is elsewhere is not ours to remove
            continue
        try:
            found.append((path.stat().st_mtime, path.stat().st_size, path))
        except FileNotFoundError:
            continue
    taken = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if taken <= limit:
            return
        if path.parent not in kept:
            path.unlink(missing_ok=True)
            taken -= size
            if not any(path.parent.glob("*")):
                shutil.rmtree(path.parent, ignore_errors=True)
