"""mmsdk data FILE"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Any

import typer

from mmsdk.cli.options import Json, answer

LABELS = 12
"""So many labels are listed; the others are summed up."""
LONGEST = 300


def command(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A table, shards, or a pipeline in YAML.", show_default=False)
    ],
    split_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="Column that names each row's split; 'split' by default.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Column whose values are counted per split.")
    ] = None,
    json: Json = False,
) -> None:
    """Columns, splits and labels of a data file; files that cannot be read, duplicates, leaks between splits."""
    from mmsdk.data.inspection import inspect

    report = inspect(file, split_column, label)
    answer(report, json, "\n".join(_text(report)))
    if report["problems"]:
        raise typer.Exit(1)


def _text(report: Mapping[str, Any]) -> Iterator[str]:
    splits = report["splits"]
    yield f"{report['file']}: {report['rows']:,} rows"
    yield from _section("columns", [[name, *_column(about)] for name, about in report["columns"].items()])
    yield from _section("splits", [[name, f"{rows:,}", _share(rows, report["rows"])] for name, rows in splits.items()])
    yield from _groups(report)
    absent = [[name, *map(_share, about["absent"].values())] for name, about in report.get("streams", {}).items()]
    yield from _section("streams, and the rows in which they are absent", [["", *splits], *absent] if absent else [])
    for column, balance in report["labels"].items():
        yield from _section(f"labels, column '{column}'", [["", *balance], *_labels(balance)])
    shared = [[name, *_overlap(each)] for name, found in report["shared"].items() for each in found]
    yield from _section("texts in several splits: fine for words and questions, a leak for documents and ids", shared)
    for each in report.get("filled", []):
        yield f"\n{each['text']}"
    for what, found in report["duplicates"].items():
        if found["count"]:
            example = _plain(" = ".join(found["examples"][0]))
            yield f"\n{what} that repeat an earlier one of their split: {found['count']:,}, such as {example}"
    yield from _problems(report)


def _groups(report: Mapping[str, Any]) -> Iterator[str]:
    """The samples of a pipeline that groups rows."""
    if "groups" in report:
        about = report["groups"]
        title = f"groups by column '{about['key']}', of {about['shortest']} to {about['longest']} rows"
        yield from _section(title, [[name, f"{count:,}"] for name, count in about["count"].items()])


def _problems(report: Mapping[str, Any]) -> Iterator[str]:
    tried = report["unreadable"]["tried"]
    about = f" ({tried:,} different values looked at)" if tried else ""
    if not report["problems"]:
        yield f"\nno problems found{about}"
        return
    yield f"\nproblems{about}"
    yield from (f"  {_plain(problem)}" for problem in report["problems"])
    failed = [
        [each["sample"] + _more(each["samples"] - 1), each["column"], each["reason"]]
        for each in report["unreadable"]["examples"]
    ]
    yield from _section("cannot be read", failed)


def _more(samples: int) -> str:
    return f" and {samples:,} more" if samples else ""


def _overlap(found: Mapping[str, Any]) -> list[str]:
    one, other = found["splits"]
    return [f"{found['count']:,} of {found['of']:,} in '{other}' are in '{one}', too"]


def _column(about: Mapping[str, Any]) -> list[str]:
    """Kind, number of different values, and what is missing."""
    distinct = f"{about['distinct']:,} different" if "distinct" in about else ""
    return [about["kind"], distinct, f"missing in {_share(about['missing'])}" if about["missing"] else ""]


def _labels(balance: Mapping[str, Mapping[str, int]]) -> Iterator[list[str]]:
    """Per label its count and share in each split; a label that is in no training row is seen by its zero."""
    totals = {name: sum(counts.values()) for name, counts in balance.items()}
    overall = sum((Counter(counts) for counts in balance.values()), Counter[str]())
    listed = sorted(overall, key=lambda label: (-overall[label], label))
    shown = len(listed) if len(listed) <= LABELS + 1 else LABELS
    for label in listed[:shown]:
        yield [label[:40], *(_counted(counts.get(label, 0), totals[name]) for name, counts in balance.items())]
    others = listed[shown:]
    if others:
        rest = ((sum(counts.get(label, 0) for label in others), totals[name]) for name, counts in balance.items())
        yield [f"{len(others):,} others", *(_counted(count, total) for count, total in rest)]


def _counted(count: int, total: int) -> str:
    return f"{count:,} ({_share(count, total)})"


def _share(part: float, whole: float = 1) -> str:
    """A percentage; 0 % and 100 % mean none and all."""
    share = part / whole if whole else 0.0
    shown = min(max(share, 0.001), 0.999) if 0 < share < 1 else share
    return f"{'< ' * (share < shown)}{'> ' * (share > shown)}{shown:.1%}"


def _section(title: str, rows: Iterable[list[str]]) -> Iterator[str]:
    """A heading and aligned cells; nothing where there are no rows."""
    table = [[_plain(cell) for cell in row] for row in rows]
    if table:
        widths = [max(map(len, column)) for column in zip_longest(*table, fillvalue="")]
        yield f"\n{_plain(title)}"
        yield from ("  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in table)


def _plain(text: str) -> str:
    """Text from the data, short, and harmless to a terminal."""
    shown = text if text.isprintable() else repr(text)[1:-1]
    return shown if len(shown) <= LONGEST else shown[: LONGEST - 3] + "..."
