"""Writes the table of docs/reliability.md from what fault tests have printed.

    uv run pytest -m faults | tee faults.log
    python -m tests.faults.table faults.log...

Lines of one fault in these files are added up, and take the place of its line in results.jsonl. Without files the table
is written from what is there.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results.jsonl")
PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- results -->\n", "<!-- end of results -->\n"
COUNTS = ("tried", "survived", "lost")
FAULTS = {
    "F1": "killed at a random instant, resumed to the end, the same weights",
    "F2": "killed, or an error, at each call to the disk of a save",
    "F3": "a file of a checkpoint or a pipeline cut, flipped, removed, exchanged",
    "F4": "stopped at each step, with and without worker processes",
    "F5": "SIGTERM, SIGINT, SIGUSR1 at a random instant, one and two processes",
    "F6": "one of two processes killed",
    "F7": "a full, read-only, broken or slow disk during a save",
    "F8": "a loss, gradient, input or weight that is not finite",
    "F9": "the memory runs out (made up), forward and backward",
    "F10": "samples and tables that cannot be read",
    "F11": "bad plugins",
    "F12": "libraries that are installed and cannot be loaded",
    "A1": "configs that are no configs",
    "A2": "folders of models with something evil in them",
    "A3": "pictures, sounds, videos and texts that are damaged",
    "A4": "small files that unpack to large ones",
    "A5": "more requests than a server can take",
    "A6": "requests made up from the description of the protocol",
    "A7": "requests without or with a wrong key",
    "A8": "one bad sample in a batch",
    "A9": "paths that lead elsewhere",
    "A10": "what the code may not contain",
}


def order(line: dict[str, Any]) -> tuple[bool, int]:
    return line["id"][0] != "F", int(line["id"][1:])


def joined(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """The lines of one fault as one: counts are added up, of other figures the largest counts."""
    found: dict[str, Any] = {}
    for line in lines:
        for key, value in line.items():
            if key in found and (key in COUNTS or key.startswith("killed") or isinstance(value, list)):
                found[key] += value
            elif key in found and isinstance(value, int | float):
                found[key] = max(found[key], value)
            else:
                found[key] = value
    return found


def results(text: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in text.splitlines() if line.startswith('{"id"')]
    by_id: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        by_id.setdefault(line["id"], []).append(line)
    return sorted(map(joined, by_id.values()), key=order)


def table(lines: list[dict[str, Any]]) -> str:
    rows = ["| | what is done | tried | survived | lost | size | |", "| --- | --- | --- | --- | --- | --- | --- |"]
    for line in lines:
        more = [f"{key.replace('_', ' ')} {value}" for key, value in line.items() if key not in ("id", "size", *COUNTS)]
        told = "; ".join(each for each in more if not each.startswith("skipped"))
        told += "".join(f"; skipped: {reason}" for reason in line.get("skipped", []))
        counts = " | ".join(str(line[key]) for key in COUNTS)
        rows.append(f"| {line['id']} | {FAULTS[line['id']]} | {counts} | {line['size']} | {told.removeprefix('; ')} |")
    missing = [name for name in FAULTS if name not in {line["id"] for line in lines}]
    rest = f"\nNot in this table yet: {', '.join(missing)}.\n" if missing else ""
    return "\n".join(rows) + "\n" + rest


def page(text: str, lines: list[dict[str, Any]]) -> str:
    """The page with the table in its place."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + table(lines) + END + after


def main() -> None:
    fresh = results("\n".join(Path(name).read_text() for name in sys.argv[1:]))
    known = {line["id"]: line for line in results(RESULTS.read_text() if RESULTS.exists() else "")}
    lines = sorted({**known, **{line["id"]: line for line in fresh}}.values(), key=order)
    RESULTS.write_text("".join(json.dumps(line) + "\n" for line in lines))
    PAGE.write_text(page(PAGE.read_text(), lines))


if __name__ == "__main__":
    main()
