"""Exports of runs: where their rows come from, and where the graph lies that belongs to a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from mmsdk.data.samples import Row
from mmsdk.errors import ExportError
from mmsdk.evaluation.run_data import parts_of_run, training_samples
from mmsdk.export.folder import Exported, Kind, export_pipeline, is_exported, open_exported
from mmsdk.export.runtime import ExportedPipeline
from mmsdk.pipeline.devices import Device, chosen
from mmsdk.pipeline.pipeline import Pipeline
from mmsdk.pipeline.prediction import Precision

Engine = Literal["torch", "onnxruntime"]


def place_of(run: Path, kind: Kind) -> Path:
    """Where a run's export lies, unless it was put elsewhere."""
    return run / "exported" / kind


def export_run(run: Path, kind: Kind = "onnx", output: Path | None = None, data: Path | None = None) -> Exported:
    """Export a run's pipeline, checked on its held-out rows, or on those of another file.

    Raises:
        ExportError: something cannot be exported. DataError: there are no rows to check it with.
    """
    if is_exported(run):
        raise ExportError(f"{run}: this is an exported pipeline: export the run that it was made of")
    pipeline = Pipeline.load(run)
    return export_pipeline(pipeline, output or place_of(run, kind), _rows(run, pipeline, data), kind)


def open_with(
    folder: Path, engine: Engine | None = None, precision: Precision = "float32", device: Device = "cpu"
) -> Pipeline:
    """A run, a saved pipeline or an exported one, computed by the engine in that precision, there.

    Raises:
        ExportError: that engine cannot: there is no export, it is of another pipeline, or has another precision.
    """
    pipeline = _opened(folder, engine)
    pipeline.precision = precision
    return pipeline if isinstance(pipeline, ExportedPipeline) else pipeline.to(chosen(device))


def _opened(folder: Path, engine: Engine | None) -> Pipeline:
    if is_exported(folder):
        if engine == "torch":
            raise ExportError(f"{folder}: ONNX Runtime computes what was exported: leave --engine out, or name the run")
        return open_exported(folder)
    pipeline = Pipeline.load(folder)
    if engine != "onnxruntime":
        return pipeline
    place = place_of(folder, "onnx")
    if not is_exported(place):
        raise ExportError(f"{folder}: has not been exported yet: mmsdk export {folder} --format onnx")
    exported = open_exported(place)
    if exported.fingerprint() != pipeline.fingerprint():
        raise ExportError(f"{place}: was made of another pipeline than this run has now: mmsdk export {folder}")
    return exported


def _rows(run: Path, pipeline: Pipeline, data: Path | None) -> Sequence[Row]:
    held_out = [row for part in parts_of_run(run, pipeline.config, data, []) for row in part.rows]
    return held_out or training_samples(run, next(iter(pipeline.config.heads)), data)
