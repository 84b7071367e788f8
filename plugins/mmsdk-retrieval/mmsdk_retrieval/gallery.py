"""What a search found as one HTML file that needs nothing else: pictures inside, no scripts, everything escaped."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping, Sequence
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from mmsdk import DataError
from mmsdk_retrieval.index import Hit

FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "BMP"]
"""What is opened at all: each further decoder would be a further way in."""
MOST_PIXELS = 50_000_000
"""Told from the header: a small file can say that it has billions of pixels."""
SIDE = 192
"""Of a picture in the page, at most."""
LONGEST = 300
"""Characters of a value."""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>Search</title>
<style>
body {{ font: 15px/1.4 system-ui, sans-serif; margin: 2rem; }}
ol {{ display: flex; flex-wrap: wrap; gap: 1rem; padding: 0; list-style: none; }}
li {{ width: {side}px; padding: .6rem; border: 1px solid #ccc; border-radius: .4rem; overflow-wrap: anywhere; }}
img {{ max-width: 100%; }}
dl {{ margin: 0; font-size: 12px; }}
dt {{ color: #666; }}
dd {{ margin: 0 0 .2rem; }}
</style>
</head>
<body>
<h1>Search in {within}</h1>
<ol>
{queries}
</ol>
<h2>{count} found</h2>
<ol>
{hits}
</ol>
</body>
</html>
"""


def write_gallery(
    path: str | Path,
    hits: Sequence[Hit],
    queries: Sequence[Mapping[str, Any]],
    *,
    within: str,
    pictures: Collection[str] = (),
) -> Path:
    """Write a page with the queries and the hits, the best first.

    queries: values by stream. pictures: the columns, and the streams of queries, whose values are paths of images.

    Raises:
        DataError: the file cannot be written.
    """
    page = PAGE.format(
        side=SIDE,
        within=escape(within),
        count=len(hits),
        queries="\n".join(f"<li>{_values(query, pictures)}</li>" for query in queries),
        hits="\n".join(f"<li>{_title(hit)}{_values(hit.values, pictures)}</li>" for hit in hits),
    )
    try:
        Path(path).write_text(page, encoding="utf-8", errors="xmlcharrefreplace")
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror}") from None
    return Path(path)


def _title(hit: Hit) -> str:
    return f"<strong>{hit.rank}. {escape(hit.id)}</strong> {hit.score:.4f}"


def _values(values: Mapping[str, Any], pictures: Collection[str]) -> str:
    """Pictures first, then the other values."""
    shown = [_picture(value) for name, value in values.items() if name in pictures and isinstance(value, str)]
    rest = [
        f"<dt>{escape(name)}</dt><dd>{escape(str(value)[:LONGEST])}</dd>"
        for name, value in values.items()
        if not (name in pictures and isinstance(value, str))
    ]
    return "".join([*shown, "<dl>", *rest, "</dl>"])


def _picture(path: str) -> str:
    """The picture, made small and encoded anew, so that nothing but pixels gets into the page; or why there is none."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise ValueError(f"{image.width} x {image.height} pixels are too many")
            image.thumbnail((SIDE, SIDE))
            file = BytesIO()
            image.convert("RGBA").save(file, "PNG")
    except Exception as error:  # Pillow raises six types at least for damaged files
        return f"<p>no picture: {escape(str(error)[:LONGEST])}</p>"
    data = base64.b64encode(file.getvalue()).decode("ascii")
    return f'<p><img alt="{escape(Path(path).name)}" src="data:image/png;base64,{data}"></p>'
