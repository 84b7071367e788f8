"""Where caches are kept, how much room they may take, and making room."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from mmsdk.cache.store import ASIDE, ENDING
from mmsdk.errors import ConfigError

FOLDER, LIMIT = "MMSDK_CACHE", "MMSDK_CACHE_GB"
DAY = 24 * 60 * 60


def cache_folder() -> Path:
    """The folder that MMSDK_CACHE names, else the user's own cache folder."""
    given = os.environ.get(FOLDER)
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(given) if given else home / "mmsdk"


def cache_limit() -> int:
    """Bytes that all caches together may take: MMSDK_CACHE_GB, by default 20 GB.

    Raises:
        ConfigError: it is no number.
    """
    given = os.environ.get(LIMIT, "20")
    try:
        limit = float(given)
    except ValueError:
        limit = -1
    if not limit >= 0:
        raise ConfigError(f"{LIMIT}: expected a number of gigabytes such as 20, got '{given}'")
    return int(min(limit, 10**9) * 10**9)


def make_room(root: Path, limit: int, keep: Iterable[Path] = ()) -> bool:
    """Remove the shards that nobody has used for longest, until those under `root` take `limit` bytes at most.

    keep: folders in use. Who has a removed shard open reads on: the file lives until it is closed.
    Returns whether it is enough: False where the folders in use alone take more.
    """
    kept = set(keep)
    found = []
    for path in root.glob(f"*/*/{ASIDE}*"):  # of processes that died
        if not path.parent.is_symlink() and path.exists() and time.time() - path.stat().st_mtime > DAY:
            path.unlink(missing_ok=True)
    for path in root.glob(f"*/*/*{ENDING}"):
        if path.parent.is_symlink():  # what is elsewhere is not ours to remove
            continue
        try:
            found.append((path.stat().st_mtime, path.stat().st_size, path))
        except FileNotFoundError:
            continue
    taken = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if taken <= limit:
            break
        if path.parent not in kept:
            path.unlink(missing_ok=True)
            taken -= size
            if not any(path.parent.glob("*")):
                shutil.rmtree(path.parent, ignore_errors=True)
    return taken <= limit
