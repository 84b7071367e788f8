"""How the built-in modalities recognise a column of a table, for `mmsdk new`. Only headers of files are read."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

from mmsdk.proposal import Column, Proposal, words

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp")
ARRAYS = (".npy", ".safetensors")
SIDES = (16, 24, 32, 48, 64, 96)
"""In pixels. Larger pictures take their time on a processor; whoever has a better one can go on."""
LONGEST_TEXT = 512


def image(column: Column) -> Proposal | None:
    """Paths of pictures. The size is theirs, up to a limit."""
    share = column.share(*PICTURES)
    if share < 0.5:
        return None
    sides = sorted(min(size) for size in _sizes(column.files()))
    side = max((side for side in SIDES if sides and side <= median(sides)), default=SIDES[0])
    found = f"{sides[0]} to {sides[-1]}" if sides and sides[0] < sides[-1] else f"{sides[0]}" if sides else "unknown"
    note = f"the shorter sides of pictures: {found} pixels"
    return Proposal(0.9 * share, {"size": side}, {"shift": 0.1, "scale": 0.1}, {"type": "cnn"}, note)


def _sizes(files: Iterable[Path]) -> Iterable[tuple[int, int]]:
    from PIL import Image

    for file in files:
        with suppress(Exception), warnings.catch_warnings():  # Pillow raises six types for damaged files
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(file, formats=["PNG", "JPEG", "WEBP", "GIF", "BMP"]) as picture:
                yield picture.size


def text(column: Column) -> Proposal | None:
    """Sentences; with less confidence names and words that come again and again. Not single words that never do."""
    texts = [value for value in column.values if isinstance(value, str)]
    if column.kind not in ("text", "category") or not texts:
        return None
    lengths = sorted(map(words, texts))
    if 2 * len(set(texts)) > len(texts) and lengths[9 * len(lengths) // 10] <= 1:
        return None  # a name of its own for each row
    often = lengths[95 * len(lengths) // 100]
    length = min(64 * -(-3 * often // 128), LONGEST_TEXT)  # words and punctuation, rounded up
    settings = {"max_length": length} if length > 128 else {}
    note = f"{round(median(lengths))} words or so; 19 of 20 texts have at most {often}"
    return Proposal(0.6 if column.kind == "text" else 0.2, settings, encoder={"type": "bag"}, note=note)


def features(column: Column) -> Proposal | None:
    """A vector of one length in each row, or one for each step; as lists, or as files of arrays."""
    if column.kind == "array file":
        dimensions = {len(shape) for shape in _shapes(column.files())}
        return _features(column.share(*ARRAYS), steps=2 in dimensions, note="files of arrays")
    if column.kind == "list of numbers":
        widths = {len(value) for value in column.values}
        return _features(0.9, steps=False, note=f"vectors of {max(widths)} numbers") if len(widths) == 1 else None
    if column.kind == "list of lists":
        widths = {len(step) for value in column.values for step in value[:1]}
        even = all(isinstance(number, int | float) for value in column.values for number in value[0])
        return _features(0.9, steps=True, note=f"steps of {max(widths)} numbers") if even and len(widths) == 1 else None
    return None


def _features(share: float, *, steps: bool, note: str) -> Proposal:
    return Proposal(0.9 * share, encoder={"type": "rnn" if steps else "mlp"}, note=note)


def _shapes(files: Iterable[Path]) -> Iterable[tuple[int, ...]]:
    import numpy as np

    for file in files:
        with suppress(Exception):  # damaged files raise many types
            if file.suffix.lower() == ".npy":
                yield np.load(file, mmap_mode="r", allow_pickle=False).shape
            else:
                from safetensors import safe_open

                with safe_open(file, framework="numpy") as tensors:
                    yield tuple(tensors.get_slice(next(iter(tensors.keys()))).get_shape())


def tabular(column: Column) -> Proposal | None:
    """A number, or one of a few words; hardly any text that repeats. The columns of a table become one stream."""
    if column.kind == "number":
        return Proposal(0.5, {"numbers": [column.name]}, encoder={"type": "mlp"})
    if column.kind in ("category", "boolean") or _repeats(column):
        confidence = 0.1 if column.kind == "text" else 0.4
        return Proposal(confidence, {"categories": [column.name]}, encoder={"type": "mlp"})
    return None


def label(column: Column) -> Proposal | None:
    """One of a few; with less confidence whatever repeats."""
    if column.kind in ("category", "boolean"):
        return Proposal(0.9)
    return Proposal(0.3) if _repeats(column) else None


def _repeats(column: Column) -> bool:
    """Whether texts, or whole numbers, stand in two rows each or more."""
    single = [value for value in column.values if isinstance(value, str | int)]
    return column.kind in ("text", "number") and len(single) == len(column.values) >= 2 * len(set(single))


def labels(column: Column) -> Proposal | None:
    """Lists of words."""
    return Proposal(0.9) if column.kind == "list of texts" else None


def number(column: Column) -> Proposal | None:
    """Numbers; with less confidence a few whole ones, which may as well be labels."""
    if column.kind == "number" or (column.kind == "category" and all(map(_is_number, column.values))):
        return Proposal(0.8 if column.kind == "number" else 0.5)
    return Proposal(0.5) if column.kind == "list of numbers" else None


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True
