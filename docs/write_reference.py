"""Write the pages that are made from the code: components, commands, pictures, what stands between marks elsewhere.

python docs/write_reference.py
"""

from __future__ import annotations

from pathlib import Path

from writing.commands import commands
from writing.components import component_pages
from writing.pictures import pictures
from writing.tables import decisions, fusions, tables

HERE = Path(__file__).parent


def pages() -> dict[Path, str]:
    """What should stand in each page that this program writes."""
    by_hand, choosing, index = HERE / "config.md", HERE / "fusion.md", HERE / "index.md"
    return {
        **component_pages(HERE),
        HERE / "cli.md": commands(),
        **{HERE / "pictures" / name: text for name, text in pictures().items()},
        by_hand: tables(by_hand.read_text(encoding="utf-8")),
        choosing: fusions(choosing.read_text(encoding="utf-8")),
        index: decisions(index.read_text(encoding="utf-8"), HERE / "decisions"),
    }


if __name__ == "__main__":
    for path, text in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(path)
