"""`python -m benchmarks [NAME ...] [--quick | --full] [--json] [--record]`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib import import_module

from benchmarks.measuring import NAMES, Result
from benchmarks.record import record


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Side-by-side ratios.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"by default all: {', '.join(NAMES)}")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="a few steps, to see that it runs; the ratios say nothing")
    size.add_argument("--full", action="store_true", help="what the goals are for; the default")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--record", action="store_true", help="keep the results, and write docs/performance.md anew")
    given = parser.parse_args()
    if unknown := [name for name in given.names if name not in NAMES]:
        parser.error(f"there is no benchmark {', '.join(unknown)}: take {', '.join(NAMES)}")
    if given.quick and given.record:
        parser.error("what --quick measures says nothing: leave --quick or --record out")
    results: list[Result] = []
    for name in given.names or NAMES:
        found = import_module(f"benchmarks.{name}").run(quick=given.quick)
        results += found
        if given.record:  # at once: what was measured stays when a later benchmark fails
            record(name, found)
    if given.json:
        print(json.dumps({"benchmarks": [asdict(result) for result in results]}, indent=1))
    else:
        print(_table(results))


def _table(results: Sequence[Result]) -> str:
    lines = [("benchmark", "ratio", "95 % interval", "goal", "met", "equal", "ms ours / theirs", "")]
    for result in results:
        if result.ratio is None or result.interval is None or result.milliseconds is None:
            lines.append((result.name, "not measured", "", "", "", "", "", result.note))
            continue
        low, high = result.interval
        ours, theirs = result.milliseconds
        lines.append(
            (
                result.name,
                f"{result.ratio:.3f}",
                f"{low:.3f} to {high:.3f}",
                "-" if result.goal is None else f"{result.goal:.2f}",
                {None: "-", True: "yes", False: "no"}[result.met],
                "yes" if result.equal else "NO",
                f"{ours:.2f} / {theirs:.2f}",
                result.note,
            )
        )
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


if __name__ == "__main__":
    main()
