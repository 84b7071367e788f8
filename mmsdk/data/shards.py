"""Which files a path means, where one path may mean many: a pattern such as train-*.parquet."""

from __future__ import annotations

from pathlib import Path

from mmsdk.errors import DataError, listed, no_such_file

WILD = "*?["


def is_pattern(path: Path) -> bool:
    return any(mark in str(path) for mark in WILD) and not path.exists()


def shards_of(path: Path) -> list[Path]:
    """The file itself, or all files that match the pattern, in the order of their names.

    Raises:
        DataError: there is none, or what is there is no file.
    """
    if is_pattern(path):
        home, whole = home_of(path), path.absolute()
        found = sorted(each for each in home.glob(str(whole.relative_to(home))) if each.is_file())
        if not found:
            raise DataError(f"{path}: no file matches: * stands for any part of a name, ? for one character")
        kinds = sorted({each.suffix.lower() for each in found})
        if len(kinds) > 1:
            raise DataError(f"{path}: matches files of several kinds ({listed(kinds)}): end the pattern in one of them")
        return found
    if not path.exists():
        raise DataError(no_such_file(path))
    if not path.is_file():
        raise DataError(f"{path}: cannot be read: Is a directory")
    return [path]


def home_of(path: Path) -> Path:
    """The folder that paths among the values are relative to: the last one before the pattern."""
    whole = path.absolute()
    parts = whole.parent.parts
    fixed = next((place for place, part in enumerate(parts) if any(mark in part for mark in WILD)), len(parts))
    return Path(*parts[:fixed]) if is_pattern(path) else whole.parent
