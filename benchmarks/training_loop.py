"""mmsdk's training loop against the same training written by hand, on Accelerate and in plain PyTorch.

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
from itertools import chain
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from benchmarks.hand_written import with_accelerate, with_pytorch
from benchmarks.measuring import Result, interleaved, ratio_of
from mmsdk.config import PipelineConfig
from mmsdk.config_file import load_config
from mmsdk.modalities import Modalities
from mmsdk.pipeline import Pipeline
from mmsdk.samples import as_row
from mmsdk.sampling import shuffled
from mmsdk.training import train

GOAL = 1.02
TOLERANCE = 1e-5
CHECKED_STEPS = 8
Rows = list[dict[str, Any]]


class Size(NamedTuple):
    """A model and its batches. words: in the vocabulary. text, motion: the most words, and steps, of a sample."""

    width: int
    layers: int
    words: int
    text: int
    motion: int
    batch_size: int


SIZES = {"small": Size(64, 2, 400, 24, 16, 4), "medium": Size(128, 2, 2000, 40, 32, 8)}


def run(quick: bool) -> list[Result]:
    torch.set_num_threads(1)
    rounds, steps = (1, 4) if quick else (20, 24)
    return list(chain.from_iterable(_compared(name, rounds, steps) for name in SIZES))


def _compared(name: str, rounds: int, steps: int) -> Iterator[Result]:
    size = SIZES[name]
    rows, config = _rows(size, steps * size.batch_size), _config(size, epochs=2)
    loops = {
        "accelerate": partial(with_accelerate, fused=False),
        "accelerate, fused": partial(with_accelerate, fused=True),
        "pytorch": partial(with_pytorch, fused=False),
        "pytorch, fused": partial(with_pytorch, fused=True),
    }
    sides: dict[str, Callable[[], Any]] = {"mmsdk": partial(_trained, config, rows)}
    for other, loop in loops.items():
        sides[other] = lambda loop=loop: loop(rows, _pipeline(config, rows), config.training)
    found = interleaved({side: partial(_seconds_per_step, body, steps) for side, body in sides.items()}, rounds)
    parameters = sum(parameter.numel() for parameter in _pipeline(config, rows).parameters())
    for other, loop in loops.items():
        ratio, interval = ratio_of(found["mmsdk"], found[other])
        yield Result(
            name=f"training_loop {name} / {other}",
            ratio=ratio,
            interval=interval,
            goal=GOAL if other == "accelerate" else None,
            equal=_equal(size, rows, loop),
            milliseconds=(1000 * median(found["mmsdk"]), 1000 * median(found[other])),
            note=f"{parameters / 1e6:.2f} M parameters, batches of {size.batch_size}",
        )


def _seconds_per_step(body: Callable[[], Any], steps: int) -> float:
    """Processor time of a step in the second of two epochs."""
    with _step_ends() as ends:
        body()
    return (ends[-1] - ends[steps]) / (steps - 1)


@contextmanager
def _step_ends() -> Iterator[list[float]]:
    """The processor time at the end of each optimizer step of any optimizer."""
    ends: list[float] = []
    handle = register_optimizer_step_post_hook(lambda *_: ends.append(time.process_time()))
    try:
        yield ends
    finally:
        handle.remove()


def _trained(config: PipelineConfig, rows: Rows) -> list[float]:
    """Train with mmsdk; the losses in its log."""
    with TemporaryDirectory() as folder:
        run = train(config, rows, out=Path(folder) / "run", show=False).run
        entries = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [entry["losses"]["answer"] for entry in entries if entry["event"] == "step"]


def _pipeline(config: PipelineConfig, rows: Rows) -> Pipeline:
    """The pipeline that `train` would begin with."""
    modalities = Modalities(config).fit(lambda: (as_row(row, "") for row in rows))
    torch.manual_seed(config.training.seed)
    return Pipeline(config, modalities)


def _equal(size: Size, rows: Rows, loop: Callable[..., list[float]]) -> bool:
    """Whether both compute the same losses from the same batches, where nothing is random."""
    config = _config(size, dropout=0.0, epochs=1, log_every=1)
    order = shuffled(len(rows), config.training.seed, 0, 0)
    ours, theirs = _trained(config, rows), loop(rows, _pipeline(config, rows), config.training, order=order)
    print(np.abs(np.subtract(ours, theirs)))
    return bool(np.allclose(ours[:CHECKED_STEPS], theirs[:CHECKED_STEPS], rtol=0, atol=TOLERANCE))


def _config(size: Size, dropout: float = 0.1, **training: Any) -> PipelineConfig:
    attentive = {"type": "transformer", "width": size.width, "layers": size.layers, "dropout": dropout}
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
