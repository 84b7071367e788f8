"""The pages of the documentation, and the blocks of code in them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
BLOCK = re.compile(r"(?:^<!-- (?P<mark>[^\n]*) -->\n)?^```(?P<language>\w+)\n(?P<code>.*?)^```", re.M | re.S)


class Block(NamedTuple):
    """A block of code: its language, the comment right before it, where the code begins, and the code."""

    language: str
    mark: str
    place: str
    code: str


def all_blocks(page: Path) -> list[Block]:
    """The blocks of a page that are meant to work as they stand, in order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for each in BLOCK.finditer(text):
        mark = each["mark"] or ""
        if not mark.startswith("not run"):
            place = f"{page.name}:{text.count(chr(10), 0, each.start('code')) + 1}"
            found.append(Block(each["language"], mark, place, each["code"]))
    return found


def blocks(page: Path, language: str) -> list[Block]:
    """Those of one language."""
    return [block for block in all_blocks(page) if block.language == language]
