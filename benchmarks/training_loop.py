"""mmsdk's training loop against the same training written by hand, and in the loops of frameworks.

In each round each side trains two epochs. The first one warms up; timed are the steps of the second, from the end of
its first optimizer step to the end of its last. So whole steps count, whoever wrote the loop, and neither the start
nor what happens between epochs (measuring, checkpoints) does.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from benchmarks.frameworks import with_lightning, with_trainer
from benchmarks.hand_written import Loop, with_accelerate, with_pytorch
from benchmarks.measuring import Result, interleaved
from mmsdk.config.file import load_config
from mmsdk.config.pipeline import PipelineConfig
from mmsdk.data.samples import as_row
from mmsdk.data.sampling import shuffled
from mmsdk.pipeline.modalities import Modalities
from mmsdk.pipeline.pipeline import Pipeline
from mmsdk.training.loop import train

GOALS = {"accelerate": 1.02, "Trainer": 0.9, "Lightning": 0.9}
TOLERANCE = 1e-5
CHECKED_STEPS = 8
THEIRS: dict[str, Loop] = {
    "accelerate": with_accelerate,
    "pytorch": with_pytorch,
    "accelerate, fused AdamW": partial(with_accelerate, fused=True),
    "pytorch, fused AdamW": partial(with_pytorch, fused=True),
    "Trainer": with_trainer,
    "Lightning": with_lightning,
}
"""mmsdk's AdamW is always fused, and so is Trainer's; by default, PyTorch's is not."""


class Size(NamedTuple):
    """A model and its batches. words: in the vocabulary. text, motion: the most words, and steps, of a sample."""

    width: int
    words: int
    text: int
    motion: int
    batch_size: int


SIZES = {"small": Size(64, 400, 24, 16, 4), "medium": Size(128, 6000, 40, 32, 8)}
Rows = list[dict[str, Any]]


def run(quick: bool) -> list[Result]:
    torch.set_num_threads(1)
    if quick:
        return _compared("small", SIZES["small"], rounds=1, steps=CHECKED_STEPS)
    return [result for name, size in SIZES.items() for result in _compared(name, size, rounds=20, steps=16)]


def _compared(name: str, size: Size, rounds: int, steps: int) -> list[Result]:
    rows, config = _rows(size, steps * size.batch_size), _config(size, epochs=2)
    sides: dict[str, Callable[[], Any]] = {
        other: partial(_by_hand, loop, config, rows) for other, loop in THEIRS.items()
    }
    sides["mmsdk"] = partial(_trained, config, rows)
    seconds = interleaved({side: partial(_step_seconds, body, steps) for side, body in sides.items()}, rounds)
    equal = _equal(size, rows)
    parameters = sum(parameter.numel() for parameter in _pipeline(config, rows).parameters())
    return [
        Result.of(
            f"training_loop, {name}: mmsdk / {other}",
            seconds["mmsdk"],
            seconds[other],
            goal=GOALS.get(other),
            equal=equal[other],
            note=f"{parameters / 1e6:.2f} M parameters, {size.batch_size} samples a step",
        )
        for other in THEIRS
    ]


def _step_seconds(body: Callable[[], Any], steps: int) -> float:
    """Processor time of one step, over all steps of the second of two epochs."""
    with step_ends() as ends:
        body()
    return (ends[-1] - ends[steps]) / (steps - 1)


@contextmanager
def step_ends() -> Iterator[list[float]]:
    """The processor time at the end of each optimizer step of any optimizer."""
    ends: list[float] = []
    handle = register_optimizer_step_post_hook(lambda *_: ends.append(time.process_time()))
    try:
        yield ends
    finally:
        handle.remove()


def _trained(config: PipelineConfig, rows: Rows) -> list[float]:
    """Train with mmsdk; the losses that it logs."""
    with TemporaryDirectory() as folder:
        run = train(config, rows, out=Path(folder) / "run", show=False).run
        entries = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [entry["losses"]["answer"] for entry in entries if entry["event"] == "step"]


def _by_hand(loop: Loop, config: PipelineConfig, rows: Rows, **options: Any) -> list[float]:
    return loop(rows, _pipeline(config, rows), config.training, **options)


def _pipeline(config: PipelineConfig, rows: Rows) -> Pipeline:
    """The pipeline that `train` begins with."""
    modalities = Modalities(config).fit(lambda: (as_row(row, "") for row in rows))
    torch.manual_seed(config.training.seed)
    return Pipeline(config, modalities)


def _equal(size: Size, rows: Rows) -> dict[str, bool]:
    """Whether each loop computes the same losses as mmsdk from the same batches, where nothing is random."""
    config = _config(size, dropout=0.0, epochs=1, log_every=1)
    order = shuffled(len(rows), config.training.seed, stage=0, epoch=0)
    ours = _trained(config, rows)[:CHECKED_STEPS]
    theirs = {name: _by_hand(loop, config, rows, order=order)[:CHECKED_STEPS] for name, loop in THEIRS.items()}
    return {name: bool(np.allclose(ours, losses, rtol=0, atol=TOLERANCE)) for name, losses in theirs.items()}


def _config(size: Size, dropout: float = 0.1, **training: Any) -> PipelineConfig:
    attentive = {"type": "transformer", "width": size.width, "dropout": dropout}
    return load_config(
        {
            "streams": {
                "text": {"modality": {"type": "text"}, "encoder": attentive},
                "motion": {"modality": {"type": "features"}, "encoder": attentive},
                "image": {"modality": {"type": "image", "size": 32}, "encoder": {"type": "cnn", "width": size.width}},
            },
            "fusion": attentive,
            "heads": {"answer": {"type": "classification", "target": "answer"}},
            "training": {"batch_size": size.batch_size, "warmup": 0.1, "threads": 1, "device": "cpu", **training},
        }
    )


def _rows(size: Size, count: int) -> Rows:
    """Samples of random words, steps of random numbers, random pixels, and a random answer."""
    rng = np.random.default_rng(0)
    return [
        {
            "text": " ".join(f"w{word}" for word in rng.integers(size.words, size=rng.integers(4, size.text + 1))),
            "motion": rng.standard_normal((rng.integers(4, size.motion + 1), 32), dtype=np.float32),
            "image": rng.integers(256, size=(32, 32, 3), dtype=np.uint8),
            "answer": f"answer {place % 10}",
        }
        for place in range(count)
    ]
