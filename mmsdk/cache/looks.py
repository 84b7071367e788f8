"""Keys of values, where a file that looks as it did need not be read again."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from mmsdk.cache.keys import CONTENT, content_key, content_of
from mmsdk.cache.store import Record, Store

FORMAT = 1
YOUNG = 2.0
"""In seconds. A file that was changed just now can change again without looking different: clocks have ticks."""


class Keys:
    """`content_key` of values, each path and text looked at once in the life of this object.

    What is in a file is known from earlier runs while its path, size, place on the disk and times are the same.
    """

    def __init__(self, root: Path) -> None:
        self.store = Store(root / "files" / str(FORMAT), {"content": (CONTENT,)})
        self._seen: dict[Any, bytes] = {}
        self._new: dict[bytes, Record] = {}

    def __call__(self, value: Any) -> bytes:
        """Raises OSError, TypeError: see `content_key`."""
        if not isinstance(value, str | Path):
            return content_key(value, self._content)
        if value not in self._seen:
            self._seen[value] = content_key(value, self._content)
        return self._seen[value]

    def _content(self, path: Path) -> bytes:
        look = path.stat()
        facts = (look.st_dev, look.st_ino, look.st_size, look.st_mtime_ns, look.st_ctime_ns)
        key = content_key([str(path.absolute()), *facts])
        if key in self.store:
            return self.store[key]["content"].numpy().tobytes()
        content = content_of(path)
        if time.time() - max(look.st_mtime, look.st_ctime) > YOUNG:
            self._new[key] = {"content": torch.frombuffer(bytearray(content), dtype=torch.uint8)}
        return content

    def keep(self) -> None:
        """Write down what was new.

        Raises:
            OSError, SafetensorError: it cannot be written.
        """
        new, self._new = self._new, {}
        self.store.add(list(new.items()))
