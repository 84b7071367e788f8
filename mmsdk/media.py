"""Files that samples name: whether they can be opened, and which hold the same bytes. Needs no torch."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from mmsdk.columns import SUFFIXES
from mmsdk.errors import DecodeError

MOST_COMPARED = 50_000
"""So many files are compared by their bytes; of more, only the names."""


def try_to_open(path: Path) -> None:
    """Open a file in the way of its suffix: images are decoded, arrays measured, others only looked up.

    Raises:
        DecodeError: there is no such file, it is empty, or it is damaged.
    """
    try:
        if not path.is_file():
            raise DecodeError(f"there is no file '{path}'")
        if path.stat().st_size == 0:
            raise DecodeError(f"'{path}' is empty")
        if path.suffix.lower() in SUFFIXES["image file"]:
            _decode_image(path)
        elif path.suffix.lower() == ".npy":
            _measure_array(path)
        elif path.suffix.lower() == ".safetensors":
            _measure_tensors(path)
    except DecodeError:
        raise
    except Exception as error:  # Pillow alone raises six types for damaged files
        raise DecodeError(f"cannot read '{path}': {error}") from None


def _decode_image(path: Path) -> None:
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(path, formats=["PNG", "JPEG", "WEBP", "GIF", "BMP"]) as image:
            image.draft("RGB", (1, 1))  # a JPEG is read to its end, but at an eighth of its size
            image.load()


def _measure_array(path: Path) -> None:
    import numpy as np

    np.load(path, mmap_mode="r", allow_pickle=False)  # compares the header with the file's size


def _measure_tensors(path: Path) -> None:
    from safetensors import safe_open

    with safe_open(path, framework="numpy"):  # compares the header with the file's size
        pass


def identities(paths: Iterable[Path]) -> dict[Path, str]:
    """Per path what tells its content apart: equal for a file, its copies and its links; the path where it is alone."""
    same = {path: str(path) for path in paths}
    if len(same) > MOST_COMPARED:
        return same
    by_size: dict[int, list[Path]] = {}
    for path in same:
        with suppress(OSError):  # a file that is not there is told elsewhere
            by_size.setdefault(path.stat().st_size, []).append(path)
    for size, group in by_size.items():
        for path in group if size and len(group) > 1 else ():
            with suppress(OSError), path.open("rb") as file:
                same[path] = hashlib.file_digest(file, "sha256").hexdigest()
    return same
