"""Predictions for the rows of a file, by several processes."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmsdk.data.samples import Row
from mmsdk.errors import ConfigError, DataError
from mmsdk.folders import flush, writing
from mmsdk.parallel.parts import Parts
from mmsdk.parallel.ray_data import work_on_ray
from mmsdk.parallel.team import Team
from mmsdk.pipeline.prediction import Precision, Result
from mmsdk.pipeline.row_prediction import predict_rows

if TYPE_CHECKING:
    from mmsdk.pipeline.pipeline import Pipeline


def told(result: Result, number: int, pictures: Path | None = None) -> dict[str, Any]:
    """A result as it is written; of one that is an error stderr is told, too.

    number: of its row, from 1. pictures: the folder for predictions that are pictures.
    """
    if result.error is not None:
        print(f"error: {result.id}: {result.error}", file=sys.stderr, flush=True)
    return result.as_dict() if pictures is None else _with_files(result.as_dict(), pictures, number)


class PartPrediction:
    """Predicts a part; tells how many of its rows are errors."""

    def __init__(self, pipeline: Pipeline, pictures: Path | None = None) -> None:
        self.pipeline, self.pictures = pipeline, pictures

    def __call__(self, part: Path, first: int, rows: Sequence[Row]) -> int:
        errors = 0
        with part.open("w", encoding="utf-8", errors="backslashreplace") as lines:
            for number, result in enumerate(predict_rows(self.pipeline, rows), start=first + 1):
                errors += result.error is not None
                lines.write(json.dumps(told(result, number, self.pictures), ensure_ascii=False) + "\n")
        return errors

    @classmethod
    def open(cls, run: Path, precision: Precision, pictures: Path | None) -> PartPrediction:
        from mmsdk.export.run_export import open_with

        return cls(open_with(run, precision=precision), pictures)


def predict_in_parts(
    pipeline: Pipeline,
    source: Path,
    output: Path,
    team: Team,
    *,
    pictures: Path | None = None,
    resume: bool = False,
    on_ray: Path | None = None,
) -> tuple[int, int]:
    """Write a line per row, in the order of the file, each once, in constant memory; how many rows and errors.

    on_ray: where workers of Ray open the pipeline, if they are to do the work.

    Raises:
        ConfigError: the pipeline judges groups of rows; or see `Parts`. DataError: the file cannot be read.
        CheckpointError: something cannot be written.
    """
    if pipeline.config.group_by is not None:
        raise ConfigError("This pipeline judges rows in groups, which may lie anywhere in a file: use one process")
    whose = {"pipeline": pipeline.fingerprint(), "precision": pipeline.precision}
    parts = Parts(source, output, whose, team, resume=resume)

    def count(errors: int) -> None:
        team.total("errors", errors)

    if on_ray is not None:
        work_on_ray(parts, partial(PartPrediction.open, on_ray, pipeline.precision, pictures), count)
    else:
        parts.work(PartPrediction(pipeline, pictures), count)
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


def _with_files(plain: dict[str, Any], folder: Path, number: int) -> dict[str, Any]:
    """The result with each picture in a file, whose path stands in its place; no name comes from the data."""
    from PIL.Image import Image

    for head, prediction in plain.items():
        if isinstance(prediction, dict) and isinstance(prediction["value"], Image):
            path = folder / f"{number:06d}-{head}.png"
            try:
                folder.mkdir(parents=True, exist_ok=True)
                prediction["value"].save(path)
            except OSError as error:
                raise DataError(f"{path}: cannot be written: {error}") from None
            prediction["value"] = str(path)
    return plain
