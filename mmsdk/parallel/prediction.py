"""Predictions for the rows of a file, by several processes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmsdk.data.samples import Row
from mmsdk.errors import ConfigError
from mmsdk.folders import flush, writing
from mmsdk.parallel.parts import Parts
from mmsdk.parallel.team import Team
from mmsdk.pipeline.prediction import Result
from mmsdk.pipeline.row_prediction import predict_rows

if TYPE_CHECKING:
    from mmsdk.pipeline.pipeline import Pipeline


def predict_in_parts(
    pipeline: Pipeline,
    source: Path,
    output: Path,
    as_told: Callable[[Result, int], dict[str, Any]],
    team: Team,
    *,
    resume: bool = False,
) -> tuple[int, int]:
    """Write a line per row, in the order of the file, each once, in constant memory; how many rows and errors.

    as_told: a result, and the number of its row from 1, as it is written.

    Raises:
        ConfigError: the pipeline judges groups of rows; or see `Parts`. DataError: the file cannot be read.
        CheckpointError: something cannot be written.
    """
    if pipeline.config.group_by is not None:
        raise ConfigError("This pipeline judges rows in groups, which may lie anywhere in a file: use one process")
    parts = Parts(source, output, {"pipeline": pipeline.fingerprint()}, team, resume=resume)

    def make(part: Path, first: int, rows: Sequence[Row]) -> None:
        errors = 0
        with part.open("w", encoding="utf-8", errors="backslashreplace") as lines:
            for number, result in enumerate(predict_rows(pipeline, rows), start=first + 1):
                errors += result.error is not None
                lines.write(json.dumps(as_told(result, number), ensure_ascii=False) + "\n")
        team.total("errors", errors)

    parts.work(make)
    if team.rank == 0:
        _join(parts.done, output)
        parts.remove()
    team.meet("the end")
    return parts.count, team.total("errors")


def _join(parts: Sequence[Path], output: Path) -> None:
    aside = output.with_name(f".writing-{output.name}")
    with writing(output):
        with aside.open("wb") as whole:
            for part in parts:
                with part.open("rb") as lines:
                    shutil.copyfileobj(lines, whole)
        flush(aside)
        aside.replace(output)
