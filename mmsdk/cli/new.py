"""mmsdk new APPLICATION"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from mmsdk.cli.options import Json, answer


def command(
    application: Annotated[
        str,
        typer.Argument(
            metavar="APPLICATION",
            help="classification, regression, sentiment, retrieval, pretraining, vqa, captioning or generation.",
            show_default=False,
        ),
    ],
    data: Annotated[Path, typer.Option(metavar="FILE", help="Your table, .jsonl or .csv.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A new folder for the config; by default APPLICATION.")
    ] = None,
    target: Annotated[str | None, typer.Option(metavar="COLUMN", help="What is to be predicted.")] = None,
    stream: Annotated[
        list[str], typer.Option(metavar="COLUMN=MODALITY", help="How to read a column, such as photo=image.")
    ] = [],  # noqa: B006 - typer reads it
    without: Annotated[list[str], typer.Option(metavar="COLUMN", help="A column to leave out.")] = [],  # noqa: B006
    json: Json = False,
) -> None:
    """Write a config for your own table, by looking at its columns; says what was decided, and why."""
    from mmsdk.errors import ConfigError
    from mmsdk.scaffold.draft import Wishes
    from mmsdk.scaffold.pipeline import FILE, write_pipeline

    wrong = [each for each in stream if not all(each.partition("="))]
    if wrong:
        raise ConfigError(f"--stream {wrong[0]}: expected COLUMN=MODALITY, such as photo=image")
    folder = out or Path(application)
    wishes = Wishes(dict(each.split("=", 1) for each in stream), target, without)
    draft = write_pipeline(application, data, folder, wishes)
    config = folder / FILE
    steps = [f"mmsdk data {config}", f"mmsdk train {config} --out {folder / 'run'}"]
    told = {
        "config": str(config),
        "application": application,
        "rows": draft.table.count,
        "target": draft.target.column if draft.target is not None else None,
        "streams": {each.name: {"columns": each.columns, "modality": each.modality["type"]} for each in draft.streams},
        "left_out": draft.left_out,
        "notes": draft.notes,
        "next": steps,
    }
    answer(told, json, "\n".join(_lines(draft, config, steps)))


def _lines(draft: Any, config: Path, steps: list[str]) -> Iterator[str]:
    from mmsdk.scaffold.lines import plain

    yield plain(f"{draft.table.path}: {draft.table.count:,} rows, {len(draft.table.columns)} columns")
    if draft.target is not None:
        yield plain(f"  target  {draft.target.column}: {draft.target.head}")
    for stream in draft.streams:
        of = f" ({', '.join(stream.columns)})" if stream.columns != [stream.name] else ""
        note = f"; {stream.note}" if stream.note else ""
        yield plain(f"  stream  {stream.name}{of}: {stream.modality['type']} -> {stream.encoder['type']}{note}")
    where = draft.table.split_column
    splits = ", ".join(f"{name} {len(rows):,}" for name, rows in draft.table.splits.items())
    yield plain(f"  splits  {f'column {where}' if where else 'at random'}: {splits}")
    for reason in dict.fromkeys(draft.left_out.values()):
        columns = ", ".join(column for column, why in draft.left_out.items() if why == reason)
        yield plain(f"  left out  {columns}: {reason}")
    yield from (plain(f"note: {note}") for note in draft.notes)
    yield f"wrote {config}; every value in it can be changed. Next:"
    yield from (f"  {step}" for step in steps)
