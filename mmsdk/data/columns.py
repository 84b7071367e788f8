"""What a column of a table holds, guessed from its values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from os.path import splitext
from typing import Any

from mmsdk.data.samples import is_missing

SUFFIXES = {
    "image file": (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp"),
    "array file": (".npy", ".safetensors"),
    "audio file": (".wav", ".flac", ".ogg", ".mp3"),
    "video file": (".mp4", ".mov", ".mkv", ".webm", ".avi"),
}
_FILES = {suffix: kind for kind, suffixes in SUFFIXES.items() for suffix in suffixes}
NEARLY = 20
"""At most one value in so many may be no number in a column of them."""
_MOST_WORDS = 4
"""A category is a word or a few; longer texts that come again and again are still sentences."""


def describe(values: Iterable[Any]) -> dict[str, Any]:
    """The kind of a column, the share of rows where it is missing, and how many different single values it has."""
    everything = [value[:1] if isinstance(value, bytes) else value for value in values]  # whole files may be large
    present = [value for value in everything if not is_missing(value)]
    found: dict[str, Any] = {
        "kind": kind_of(present),
        "missing": 1 - len(present) / len(everything) if everything else 0.0,
    }
    single = {value for value in present if isinstance(value, str | int | float)}
    odd = almost_numbers(present)
    return found | ({"distinct": len(single)} if single else {}) | ({"odd": odd} if odd is not None else {})


def kind_of(values: Sequence[Any]) -> str:
    """A guess: number, category, boolean, text, url, image file, list of numbers, mapping, ...; "mixed" is several.

    One value that is no path does not make a column of paths another kind: it is a mistake to be found.
    """
    shapes: dict[str, int] = {}
    for value in values:
        shape = _shape(value)
        shapes[shape] = shapes.get(shape, 0) + 1
    most = max(shapes, key=lambda shape: shapes[shape], default="empty")
    if most in SUFFIXES and 2 * shapes[most] > len(values):
        return most
    if len(shapes) > 1:
        return "mixed"
    if most == "text" and all(_is_number(value) for value in values):  # a CSV file has nothing but texts
        most, values = "number", [float(value) for value in values]
    return "category" if most in ("text", "number") and _is_category(values) else most


def almost_numbers(values: Sequence[Any]) -> str | None:
    """What to say of texts of which nearly all are numbers: such a column was meant to hold nothing else."""
    odd = [value for value in values if isinstance(value, str) and not _is_number(value)]
    if not odd or len(odd) * NEARLY > len(values) or not all(isinstance(value, str) for value in values):
        return None
    shown = ", ".join(f"'{value[:40]}'" for value in list(dict.fromkeys(odd))[:3])
    return (
        f"{len(values) - len(odd):,} of {len(values):,} values are numbers, {shown} "
        f"{'is' if len(odd) == 1 else 'are'} not: mend it, or leave such cells empty"
    )


def _shape(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        if "://" in value[:12]:
            return "url"
        return _FILES.get(splitext(value[-32:])[1].lower(), "text")
    if isinstance(value, list):
        for element, name in (((int, float), "numbers"), (str, "texts"), (list, "lists")):
            if all(isinstance(each, element) for each in value):
                return f"list of {name}"
        return "list"
    if isinstance(value, bytes):
        return "bytes"
    return "mapping"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_category(values: Sequence[Any]) -> bool:
    """Few different values, each of them often: whole numbers, or texts of a few words."""
    distinct = set(values)
    if not isinstance(values[0], str):
        whole = all(isinstance(value, int) or value.is_integer() for value in distinct)
        return whole and _often(distinct, values, 2)
    words = sum(len(text.split()) for text in distinct) / len(distinct)
    return words <= _MOST_WORDS and (_often(distinct, values, 2) or _often(distinct, values, 10, 1000))


def _often(distinct: Set[Any], values: Sequence[Any], times: int, most: int = 20) -> bool:
    return len(distinct) <= most and times * len(distinct) <= len(values)
