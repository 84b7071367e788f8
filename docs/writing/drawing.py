"""A few shapes in SVG. Every picture brings its own light ground, so that it reads well on light and on dark pages."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

COLOURS = {
    "data": "#ffffff",
    "modality": "#d8e8f8",
    "encoder": "#d5efe0",
    "fusion": "#f9e3c8",
    "head": "#f5d6df",
    "absent": "#e4e4e4",
    "note": "none",
}
INK = "#1f2430"
FONT = "font-family='system-ui, sans-serif' font-size='13'"


def picture(width: int, height: int, about: str, shapes: Iterable[str]) -> str:
    """A picture; what it shows is told to those who do not see it."""
    marker = (
        "<marker id='tip' viewBox='0 0 8 8' refX='7' refY='4' markerWidth='8' markerHeight='8' orient='auto'>"
        f"<path d='M0 0 L8 4 L0 8 z' fill='{INK}'/></marker>"
    )
    lines = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' height='{height}' "
        f"role='img' {FONT} fill='{INK}'>",
        f"<title>{escape(about)}</title>",
        f"<defs>{marker}</defs>",
        f"<rect width='{width}' height='{height}' rx='8' fill='#f6f7f9'/>",
        *shapes,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def box(x: int, y: int, width: int, text: str, kind: str = "data", height: int = 34) -> str:
    """A box with a text in its middle; x and y are its upper left corner. Lines are parted by a line break."""
    edge = f"stroke='{INK}' stroke-width='1'" if kind != "note" else ""
    dashed = " stroke-dasharray='4 3'" if kind == "absent" else ""
    shape = f"<rect x='{x}' y='{y}' width='{width}' height='{height}' rx='5' fill='{COLOURS[kind]}' {edge}{dashed}/>"
    lines = text.split("\n")
    first = y + height / 2 + 4.5 - 8 * (len(lines) - 1)
    told = [label(x + width / 2, first + 16 * place, line) for place, line in enumerate(lines)]
    return "".join([shape, *told])


def label(x: float, y: float, text: str, bold: bool = False, anchor: str = "middle") -> str:
    weight = " font-weight='600'" if bold else ""
    return f"<text x='{x:g}' y='{y:g}' text-anchor='{anchor}'{weight}>{escape(text)}</text>"


def arrow(x1: int, y1: int, x2: int, y2: int) -> str:
    return f"<path d='M{x1} {y1} L{x2} {y2}' stroke='{INK}' fill='none' marker-end='url(#tip)'/>"
