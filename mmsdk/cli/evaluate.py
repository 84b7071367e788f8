"""mmsdk evaluate RUN"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmsdk.cli.options import Json, RunFolder, answer, metrics_table


def command(
    run: RunFolder,
    data: Annotated[Path | None, typer.Option(help="A .jsonl or .csv file, instead of the run's own data.")] = None,
    split: Annotated[list[str], typer.Option(help="Splits to measure; by default all that were not trained on.")] = [],  # noqa: B006
    json: Json = False,
) -> None:
    """Measure a trained pipeline on a split, or on another file."""
    from mmsdk.evaluation import evaluate_run

    metrics = evaluate_run(run, data, split)
    answer({"run": str(run), "metrics": metrics}, json, metrics_table(metrics))
