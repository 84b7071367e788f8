"""What tells values apart wherever and whenever they are read: their content."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

SIZE, CONTENT = 16, 32
"""Bytes of a key, and of what `content_of` gives."""


def content_of(path: Path) -> bytes:
    """A hash of what is in a file, CONTENT bytes.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def content_key(value: Any, content: Callable[[Path], bytes] = content_of) -> bytes:
    """SIZE bytes that are the same for equal values, and for files with equal content; as good as never for others.

    content: what tells files apart by what is in them.

    Raises:
        OSError: a file cannot be read.
        TypeError: a value of a kind whose content nobody here knows.
    """
    hash = hashlib.blake2b(digest_size=SIZE)
    _feed(hash, value, content)
    return hash.digest()


def _feed(hash: hashlib.blake2b, value: Any, content: Callable[[Path], bytes]) -> None:
    """Each part says what it is and how long, so that ("ab", "c") and ("a", "bc") differ."""
    if isinstance(value, Path):
        _part(hash, "file", content(value))
    elif isinstance(value, str):
        _part(hash, "text", value.encode("utf-8", "surrogatepass"))
    elif isinstance(value, bytes):
        _part(hash, "bytes", value)
    elif value is None or isinstance(value, bool | int | float):
        _part(hash, type(value).__name__, repr(value).encode())
    elif isinstance(value, torch.Tensor):
        _feed(hash, value.detach().cpu().contiguous().numpy(), content)
    elif isinstance(value, np.ndarray | np.generic) and value.dtype != object:
        _part(hash, f"{value.dtype.str} {value.shape}", np.ascontiguousarray(value).tobytes())
    elif hasattr(value, "tobytes") and hasattr(value, "mode"):  # a picture of Pillow
        _part(hash, f"{value.mode} {value.size}", value.tobytes())
    elif isinstance(value, Mapping):
        _part(hash, "mapping", str(len(value)).encode())
        for name in sorted(value, key=str):
            _feed(hash, str(name), content)
            _feed(hash, value[name], content)
    elif isinstance(value, list | tuple):
        _part(hash, "list", str(len(value)).encode())
        for each in value:
            _feed(hash, each, content)
    else:
        raise TypeError(f"a {type(value).__name__} has no content that could be told from another's")


def _part(hash: hashlib.blake2b, kind: str, data: bytes) -> None:
    hash.update(f"{kind} {len(data)}\n".encode())
    hash.update(data)
