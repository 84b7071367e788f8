"""Commands of mmsdk: one short module per command; what is heavy is imported when a command runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from mmsdk import DecodeError

RunFolder = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run's folder, or a saved pipeline.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, last, on stdout.")]
OnError = Annotated[Literal["raise", "skip"], typer.Option(help="What to do with a sample that cannot be read.")]
IndexFolder = Annotated[Path, typer.Argument(metavar="INDEX", help="The folder of an index.", show_default=False)]


def application(command: Any) -> typer.Typer:
    """A command as mmsdk calls it."""
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)
    app.command()(command)
    return app


def left_out(skipped: Iterable[DecodeError]) -> list[dict[str, str | None]]:
    """Say which samples could not be read; the same for a program."""
    told = []
    for error in skipped:
        print(f"left out: {error}", file=sys.stderr)
        told.append({"id": error.sample, "stream": error.stream, "reason": error.reason})
    return told


def answer(result: dict[str, Any], as_json: bool, text: str) -> None:
    """The result for a program, or text for a person."""
    print(json.dumps(result, ensure_ascii=False) if as_json else text)
