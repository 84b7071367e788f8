"""What was measured last, kept in results.json beside this file, and the page that is made from it."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from benchmarks.measuring import NAMES, Result

RESULTS = Path(__file__).with_name("results.json")
PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
LIBRARIES = ["torch", "transformers", "accelerate", "lightning", "faiss-cpu", "onnxruntime"]

HEADER = """# Performance

Written by `python -m benchmarks --record` from what it measured; do not edit. [The benchmarks](../benchmarks/README.md)
say how: two sides that do the same work, one after the other in each round, on one thread, in one run; what counts is
the ratio of processor time (or of memory), mmsdk's by the other's, so **below 1 mmsdk is cheaper**. The interval is a
95 % bootstrap interval of the median over the rounds. `equal` says that both sides computed the same, within the
tolerance that the table of benchmarks states.

These are ratios from one machine. On yours they differ: run `uv run python -m benchmarks`.
"""


def record(name: str, results: Sequence[Result]) -> None:
    """Keep the results of one benchmark in place of what it measured before."""
    kept = recorded()
    kept[name] = {
        "measured": datetime.now(UTC).date().isoformat(),
        "machine": _machine(),
        "benchmarks": [asdict(result) for result in results],
    }
    content = json.dumps(dict(sorted(kept.items())), indent=1, ensure_ascii=False)
    RESULTS.write_text(content + "\n", encoding="utf-8")
    write_page()


def recorded() -> dict[str, Any]:
    """By benchmark: "measured" (a date), "machine" and "benchmarks", the results."""
    kept: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    return kept


def write_page() -> None:
    PAGE.write_text(page(recorded()), encoding="utf-8")


def page(kept: Mapping[str, Any]) -> str:
    """The Markdown page about what is recorded; benchmarks without a record are named as not measured."""
    parts = [HEADER, _goals(kept)]
    for name in NAMES:
        about = (import_module(f"benchmarks.{name}").__doc__ or "").strip().splitlines()[0]
        parts.append(f"## {name}\n\n{about}\n\n{_section(kept[name]) if name in kept else 'Not measured.'}\n")
    return "\n".join(parts)


def _goals(kept: Mapping[str, Any]) -> str:
    results = [result for one in kept.values() for result in one["benchmarks"]]
    judged = [result for result in results if result["met"] is not None]
    missed = [f"- {result['name']}: {_number(result['ratio'])}, goal {_number(result['goal'])}" for result in judged]
    missed = [line for line, result in zip(missed, judged, strict=True) if not result["met"]]
    met = f"{len(judged) - len(missed)} of {len(judged)} goals are met."
    return met + (" These are not:\n\n" + "\n".join(missed) if missed else "") + "\n"


def _section(one: Mapping[str, Any]) -> str:
    lines = ["| | ratio | 95 % | goal | met | equal | |", "| --- | --- | --- | --- | --- | --- | --- |"]
    for result in one["benchmarks"]:
        if result["ratio"] is None:
            lines.append(f"| {result['name']} | not measured | | {_number(result['goal'])} | | | {result['note']} |")
            continue
        low, high = result["interval"]
        met = {None: "", True: "yes", False: "**no**"}[result["met"]]
        cells = [
            result["name"],
            f"**{_number(result['ratio'])}**",
            f"{_number(low)} to {_number(high)}",
            _number(result["goal"]),
            met,
            "yes" if result["equal"] else "**no**",
            result["note"],
        ]
        lines.append("| " + " | ".join(cells) + " |")
    machine = one["machine"]
    libraries = ", ".join(f"{name} {number}" for name, number in machine["libraries"].items())
    return "\n".join(
        [*lines, "", f"{one['measured']}, {machine['processor']}, Python {machine['python']}, {libraries}."]
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _machine() -> dict[str, Any]:
    libraries = {name: version(name).partition("+")[0] for name in LIBRARIES}
    return {"processor": _processor(), "python": platform.python_version(), "libraries": libraries}


def _processor() -> str:
    names = Path("/proc/cpuinfo")
    found = [line for line in names.read_text().splitlines() if "model name" in line] if names.exists() else []
    name = found[0].partition(":")[2].strip() if found else platform.processor() or platform.machine()
    return f"{name} with {torch.backends.cpu.get_cpu_capability()}"


if __name__ == "__main__":
    write_page()
