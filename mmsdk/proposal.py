"""What `mmsdk new` shows to a modality of a table's column, and what the modality proposes. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple


class Column(NamedTuple):
    """A column of somebody's table.

    kind: what `mmsdk data` takes it for, such as number, category, text, image file, list of numbers.
    values: of at most a thousand rows, those that are not missing. CSV files have nothing but texts.
    folder: what paths among them are relative to.
    """

    name: str
    kind: str
    values: Sequence[Any]
    folder: Path

    def share(self, *suffixes: str) -> float:
        """How many of the values are paths with one of these endings, such as ".wav"; 0 to 1."""
        found = sum(isinstance(value, str) and value.lower().endswith(suffixes) for value in self.values)
        return found / max(len(self.values), 1)

    def files(self, most: int = 8) -> list[Path]:
        """A few of the files that the values name, from all over the column; those that are there."""
        names = list(dict.fromkeys(value for value in self.values if isinstance(value, str)))
        paths = (self.folder / name for name in names[:: max(1, len(names) // most)][:most])
        return [path for path in paths if is_file(path)]


class Proposal(NamedTuple):
    """That a column is for a modality, and what to write into the config.

    confidence: of that, up to 1; the modality with the highest one gets the column. A file's ending is worth 0.9, a
        guess from numbers or words 0.5. settings: fields of the modality. variation: more of them, which vary the
        values at random in training; they are for tables of few rows. encoder: `type`, and fields, of the encoder that
        goes well with it; by default the first one that reads its kind. note: why, in a few words.
    """

    confidence: float
    settings: Mapping[str, Any] = {}
    variation: Mapping[str, Any] = {}
    encoder: Mapping[str, Any] | None = None
    note: str = ""


def is_file(path: Path) -> bool:
    """Whether there is such a file; a text that is no path is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long, or with a null character
        return False


def words(value: str) -> int:
    """How many words; of a language without spaces, two letters count as one."""
    return max(len(value.split()), sum(letter > "\u2e80" and letter.isalpha() for letter in value) // 2)
