"""Files that raw values name."""

from __future__ import annotations

from pathlib import Path

from mmsdk.errors import DecodeError


def existing(path: Path) -> Path:
    """The path, if there is a file.

    Raises:
        DecodeError: there is none.
    """
    try:
        there = path.is_file()
    except OSError:  # such as a name that is too long
        there = False
    if not there:
        raise DecodeError(f"there is no file '{path}'")
    return path
