"""Files that raw values name, and what goes wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mmsdk.errors import DecodeError


def existing_file(path: Path) -> Path:
    """The path, if there is a file: no folder, and no pipe or device, which would never end.

    Raises:
        DecodeError: there is none, or its name cannot be one.
    """
    try:
        there = path.is_file()
    except (OSError, ValueError):  # such as a name that is too long, or one with a null character
        there = False
    if not there:
        raise DecodeError(f"there is no file '{path}'")
    return path


def said_by(error: Exception) -> str:
    """What an error says, or its type where it says nothing."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


@contextmanager
def decoding(name: str, expected: str, why: Callable[[Exception], str] | None = None) -> Iterator[None]:
    """Turns whatever a library raises for a damaged file into a DecodeError; libraries raise a dozen types.

    name: what messages call the file. expected: what it should have been. why: what to say of an error.
    """
    try:
        yield
    except DecodeError:
        raise
    except Exception as error:
        raise DecodeError(f"cannot read {name}: {(why or said_by)(error)}; expected {expected}") from error
