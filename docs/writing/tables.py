"""What stands between two marks in pages written by hand: tables of fields and of fusions, the list of decisions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mmsdk.components import HeadConfig, TargetConfig
from mmsdk.config import balance, data, pipeline, training
from mmsdk.formats import Source
from mmsdk.plugins.registry import Registry
from writing.fields import fields


def tables(text: str) -> str:
    """The text of docs/config.md with each table between `<!-- fields of X -->` and `<!-- end -->` written anew."""

    modules = (balance, data, training, pipeline)
    classes = {"HeadConfig": HeadConfig, "TargetConfig": TargetConfig}
    for module in modules:
        classes |= vars(module)

    def table(found: re.Match[str]) -> str:
        return f"{found[1]}\n\n{fields(classes[found[2]])}\n\n<!-- end -->"

    return re.sub(r"(<!-- fields of (\w+) -->)\n.*?<!-- end -->", table, text, flags=re.DOTALL)


def fusions(text: str) -> str:
    """The text of docs/fusion.md with its table of absence and parameters written anew."""
    core = Registry(found=[]).plugins[0]
    core.load()
    counts = (2, 3, 4, 6)
    rows = [f"| type | absence | {' | '.join(f'M = {count}' for count in counts)} |", "| --- " * 6 + "|"]
    for name, component in core.components["fusion"].items():
        if component.level == "feature" and "of" not in component.model_fields:  # it would be that of another one
            cells = [_parameters(component, count) for count in counts]
            rows.append(f"| `{name}` | {component.absence} | {' | '.join(cells)} |")
    table = "\n".join(rows)
    mark = "<!-- table of fusions -->"
    return re.sub(rf"{mark}\n.*?<!-- end -->", f"{mark}\n\n{table}\n\n<!-- end -->", text, flags=re.DOTALL)


def decisions(text: str, folder: Path) -> str:
    """The text of docs/index.md with its list of decisions written anew, by the heading of each."""
    pages = sorted(folder.glob("*.md"))
    headings = [(page, page.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")) for page in pages]
    numbered = [(page, re.sub(r"^(\d+)[.:] ", lambda found: f"{int(found[1]):04d} ", name)) for page, name in headings]
    found = "\n".join(f"- [{name}]({folder.name}/{page.name})" for page, name in numbered)
    mark = "<!-- decisions -->"
    return re.sub(rf"{mark}\n.*?<!-- end -->", lambda _: f"{mark}\n\n{found}\n\n<!-- end -->", text, flags=re.DOTALL)


def _parameters(component: Any, streams: int) -> str:
    """How many parameters a fusion of so many streams has, all of width 64."""
    sources = {f"stream{number}": Source(64, 64) for number in range(streams)}
    names = list(sources)
    pair = {"target": names[0], "condition": names[1]} if "condition" in component.model_fields else {}
    config = component(width=64, **pair)
    return "refused" if config.check(names) else f"{config.parameters(sources):,}"
