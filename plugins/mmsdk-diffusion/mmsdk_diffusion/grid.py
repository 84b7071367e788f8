"""Many pictures in one."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

SIDE = 64
"""Smaller pictures are enlarged to about this, each pixel to a square."""
GAP = 2


def grid(rows: Sequence[Sequence[Image.Image]]) -> Image.Image:
    """Pictures of one size, a row beside each other; a single row that is long is broken into several."""
    if len(rows) == 1 and len(rows[0]) > 10:
        across = max(10, round(len(rows[0]) ** 0.5))
        rows = [rows[0][start : start + across] for start in range(0, len(rows[0]), across)]
    width, height = rows[0][0].size
    factor = max(1, SIDE // max(width, height))
    width, height = factor * width, factor * height
    columns = max(len(row) for row in rows)
    size = (columns * (width + GAP) + GAP, len(rows) * (height + GAP) + GAP)
    whole = Image.new("RGB", size, "white")
    for down, row in enumerate(rows):
        for right, picture in enumerate(row):
            place = (GAP + right * (width + GAP), GAP + down * (height + GAP))
            whole.paste(picture.resize((width, height), Image.Resampling.NEAREST), place)
    return whole
