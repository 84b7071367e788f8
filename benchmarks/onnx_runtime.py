"""One sample at a time through an exported pipeline in ONNX Runtime, and through the same pipeline in torch."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.measuring import Result, interleaved
from mmsdk.config.file import load_config
from mmsdk.containers import Batch
from mmsdk.data.samples import Row, as_row
from mmsdk.export.folder import export_pipeline, open_exported
from mmsdk.export.parity import batch_of
from mmsdk.pipeline.modalities import Modalities
from mmsdk.pipeline.pipeline import Pipeline
from mmsdk.pipeline.prediction import inference

GOAL, SAMPLES = 0.5, 50
TRANSFORMER = {"type": "transformer", "width": 64, "layers": 2}
STREAMS = {
    "question": {"modality": "text", "encoder": TRANSFORMER},
    "motion": {"modality": "features", "encoder": TRANSFORMER},
    "picture": {"modality": {"type": "image", "size": 32}, "encoder": {"type": "cnn", "width": 64}},
}


def run(quick: bool) -> list[Result]:
    torch.set_num_threads(1)
    rows = _rows(8 if quick else SAMPLES)
    eager = _pipeline(rows)
    with tempfile.TemporaryDirectory() as folder:
        exported = open_exported(export_pipeline(eager, Path(folder) / "graph", rows).folder)
        batches = [batch_of(eager, [row]) for row in rows]
        sides = {name: partial(_seconds, each, batches) for name, each in (("onnx", exported), ("torch", eager))}
        for side in sides.values():
            side()  # the first calls find out what to allocate
        seconds = interleaved(sides, 1 if quick else 20)
        equal = all(_scores(exported, batch).sub(_scores(eager, batch)).abs().max() <= 1e-5 for batch in batches)
    parameters = sum(parameter.numel() for parameter in eager.parameters())
    note = f"{parameters / 1e6:.2f} M parameters, batch 1, one thread, {len(rows)} samples a round"
    title = "onnx_runtime: ONNX Runtime / torch.inference_mode"
    return [Result.of(title, seconds["onnx"], seconds["torch"], goal=GOAL, equal=equal, note=note)]


def _seconds(pipeline: Pipeline, batches: Sequence[Batch]) -> float:
    """Processor time of a sample. What reads the values and what decodes the scores is the same on both sides."""
    with inference(pipeline):
        start = time.process_time()
        for batch in batches:
            pipeline(batch, ["answer"])
        return (time.process_time() - start) / len(batches)


def _scores(pipeline: Pipeline, batch: Batch) -> Any:
    with inference(pipeline):
        return pipeline(batch, ["answer"])["answer"].scores


def _pipeline(rows: list[Row]) -> Pipeline:
    config = load_config(
        {
            "streams": STREAMS,
            "fusion": {"type": "transformer", "width": 64},
            "heads": {"answer": {"type": "classification", "target": "answer"}},
        }
    ).resolve()
    torch.manual_seed(0)
    return Pipeline(config, Modalities(config).fit(lambda: rows)).eval()


def _rows(count: int) -> list[Row]:
    random = np.random.default_rng(0)
    made = [
        {
            "question": " ".join(f"w{word}" for word in random.integers(0, 200, size=6 + number % 12)),
            "motion": random.normal(size=(10 + number % 20, 16)),
            "picture": random.random((32, 32, 3)),
            "answer": f"a{number % 5}",
        }
        for number in range(count)
    ]
    return [as_row(row, str(number)) for number, row in enumerate(made)]
