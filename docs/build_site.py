"""Build the documentation site from the plain Markdown pages of this repository. A broken link ends it.

python docs/build_site.py [FOLDER]

The pages link to each other as files, so that they can be read as they are. They are laid out in the same way in the
folder, `build/site` by default, with whatever else they link to, and the site is built there, in FOLDER/site.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
OUTSIDE = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "plugins/*/README.md", "benchmarks/README.md"]
"""Pages that are not in docs/."""
LINK = re.compile(r"\]\(([^)\s#]+)(#[^)\s]*)?\)")
CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.M | re.S)


def pages() -> list[Path]:
    """Every page of the site."""
    return [*(path for pattern in OUTSIDE for path in sorted(ROOT.glob(pattern))), *sorted(DOCS.rglob("*.md"))]


def links(page: Path, text: str | None = None) -> list[Path]:
    """The files to which a page, or a part of it, links, in order."""
    text = page.read_text(encoding="utf-8") if text is None else text
    found = (target for target, _ in LINK.findall(CODE.sub("", text)) if "://" not in target)
    return list(dict.fromkeys((page.parent / target).resolve() for target in found))


def title(page: Path) -> str:
    """The first heading of a page, as plain text."""
    heading = re.search(r"^# (.+)$", page.read_text(encoding="utf-8"), re.M)
    return re.sub(r"[`\\]", "", heading[1]) if heading else page.stem


def navigation() -> list[Any]:
    """The sections of docs/index.md, each with the pages to which it links."""
    index = DOCS / "index.md"
    sections = re.split(r"^## (.+)$", index.read_text(encoding="utf-8"), flags=re.M)[1:]
    found: list[Any] = [{"mmsdk": [_entry(ROOT / "README.md"), _entry(index)]}]
    seen = {ROOT / "README.md", index}
    for name, text in zip(sections[::2], sections[1::2], strict=True):
        own = [page for page in links(index, text) if page.suffix == ".md" and page not in seen]
        seen |= set(own)
        found.append({name: [entry for page in own for entry in _entries(page)]})
    return found


def _entries(page: Path) -> Iterator[Any]:
    yield _entry(page)
    if page == DOCS / "components.md":
        for folder in sorted((DOCS / "components").iterdir()):
            yield {folder.name.capitalize(): [_entry(each) for each in sorted(folder.glob("*.md"))]}


def _entry(page: Path) -> dict[str, str]:
    return {title(page): page.relative_to(ROOT).as_posix()}


def lay_out(folder: Path) -> None:
    """Pages, and the files to which they link, as they lie in the repository; and the settings with the navigation."""
    every = pages()
    for page in every:
        for path in [page, *(path for path in links(page) if path.is_file())]:
            target = folder / "pages" / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    settings = (DOCS / "site.toml").read_text(encoding="utf-8")
    (folder / "zensical.toml").write_text(
        settings.replace("[project]\n", f"[project]\nnav = {_toml(navigation())}\n", 1), encoding="utf-8"
    )


def _toml(value: Any) -> str:
    """Lists, mappings and texts in TOML."""
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(each)}" for key, each in value.items()) + "}"
    return json.dumps(value)


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    """Lay the pages out anew, and build the site; what it says is in its output."""
    shutil.rmtree(folder, ignore_errors=True)
    lay_out(folder)
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    goal = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "site"
    done = build(goal)
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}")
    print(goal / "site" / "index.html")
