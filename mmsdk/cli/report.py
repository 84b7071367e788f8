"""mmsdk report RUN"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmsdk.cli.options import Json, RunFolder, answer


def command(
    run: RunFolder,
    data: Annotated[Path | None, typer.Option(help="A file or shards, instead of the run's own data.")] = None,
    split: Annotated[list[str], typer.Option(help="Splits to show; by default all that were not trained on.")] = [],  # noqa: B006
    out: Annotated[Path | None, typer.Option(help="The page.", show_default="RUN/report.html")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Without subsets of streams and Shapley values.")] = False,
    json: Json = False,
) -> None:
    """Write a page about a run: curves, confusion, calibration, what streams are worth, samples."""
    from mmsdk.report.run_report import write_report

    written = write_report(run, out or run / "report.html", data, split, worth=not quick)
    answer({"run": str(run), "report": str(written)}, json, f"report: {written}")
