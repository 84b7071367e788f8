"""YAML with comments, line by line."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any, NamedTuple

from ruamel.yaml import YAML

WIDEST = 120


class Line(NamedTuple):
    """A key of a mapping, its value in one line (None: what is deeper follows), and why it is so."""

    depth: int
    key: str
    value: Any = None
    comment: str = ""


def written(title: Iterable[str], lines: Iterable[Line]) -> str:
    """The text of a YAML file."""
    return "".join(f"# {plain(line)}\n" for line in title) + "".join(map(_line, lines))


def _line(line: Line) -> str:
    """In one line where there is room; else with the comment before it, and each key of a mapping on its own."""
    indent = "  " * line.depth
    key, comment = f"{indent}{_flow(line.key)}:", f"# {plain(line.comment)}" if line.comment else ""
    text = key if line.value is None else f"{key} {_flow(line.value)}"
    if len(f"{text} {comment}") <= WIDEST:
        return f"{text} {comment}".rstrip() + "\n"
    if isinstance(line.value, dict) and len(text) > WIDEST:
        deeper = (Line(line.depth + 1, *item) for item in line.value.items())
        text = "\n".join([key, *(_line(each).rstrip("\n") for each in deeper)])
    return "".join(f"{each}\n" for each in (f"{indent}{comment}".rstrip(), text) if each)


def _flow(value: Any) -> str:
    """A value in one line, with quotes where YAML needs them."""
    text = _dumped(value, readable=True)
    return text if text.isprintable() else _dumped(value, readable=False)


def _dumped(value: Any, readable: bool) -> str:
    """readable: letters as they are, not as numbers."""
    yaml: Any = YAML(typ="safe", pure=True)
    yaml.default_flow_style, yaml.width, yaml.allow_unicode = True, 2**20, readable
    yaml.sort_base_mapping_type_on_output = False
    stream = io.StringIO()
    yaml.dump(value, stream)
    return stream.getvalue().removesuffix("\n").removesuffix("\n...")


def plain(text: str) -> str:
    """Text from somebody's data, which may not end the comment that it stands in."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
