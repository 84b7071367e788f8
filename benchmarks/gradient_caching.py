"""A contrastive step of a large batch: encoders that see all of it at once, and a part at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor

import mmsdk
from benchmarks.measuring import Result, taken
from mmsdk.data.collate import Collator
from mmsdk.data.samples import as_row
from mmsdk.pipeline.modalities import Modalities
from mmsdk.training.gradient_caching import Parts, gradient_caching

WIDTH, LAYERS, WORDS, PART = 128, 3, 16, 32
TIME, MEMORY = 1.4, 1 / 20


def run(quick: bool) -> list[Result]:
    size, rounds = (64, 1) if quick else (1024, 3)
    equal = _same(96)
    results = []
    for what, goal, per in (("seconds", TIME, 1), ("megabytes", MEMORY, 1000)):
        found: dict[str, list[float]] = {"parts": [], "whole": []}
        for number in range(rounds):  # each in a process of its own: memory that was taken once is not given back
            for side in ("parts", "whole") if number % 2 == 0 else ("whole", "parts"):
                found[side].append(_measured(side, size, what) / per)
        ours, theirs = found.values()
        note = f"{size:,} samples, {PART} at a time" + (", MB instead of ms" if per > 1 else "")
        name = f"gradient_caching: {what}, in parts / whole"
        results.append(Result.of(name, ours, theirs, goal=goal, equal=equal, note=note))
    return results


def _measured(side: str, size: int, what: str) -> float:
    """Memory is that in use: what is freed goes back to the system at once there, which takes time."""
    at_once = {"MALLOC_MMAP_THRESHOLD_": "65536"} if what == "megabytes" else {}
    command = [sys.executable, "-m", "benchmarks.gradient_caching", side, str(size)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | at_once)
    return float(json.loads(done.stdout)[what])


def _pipeline() -> mmsdk.Pipeline:
    encoder = {"type": "transformer", "width": WIDTH, "layers": LAYERS, "heads": 4, "dropout": 0}
    stream = {"modality": {"type": "text"}, "encoder": encoder}
    config = mmsdk.load_config(
        {
            "streams": {"question": stream, "answer": stream},
            "heads": {"match": {"type": "contrastive", "reads": ["question", "answer"], "width": WIDTH}},
        }
    )
    torch.manual_seed(0)
    rows = [as_row(row, str(place)) for place, row in enumerate(_rows(64))]
    return mmsdk.Pipeline(config, Modalities(config).fit(lambda: rows)).train()


def _rows(size: int) -> list[dict[str, Any]]:
    draw = torch.Generator().manual_seed(0)

    def text() -> str:
        return " ".join(f"w{number}" for number in torch.randint(50, (WORDS,), generator=draw).tolist())

    return [{"question": text(), "answer": text()} for _ in range(size)]


def _batch(pipeline: mmsdk.Pipeline, size: int) -> mmsdk.Batch:
    rows = [as_row(row, str(place)) for place, row in enumerate(_rows(size))]
    return Collator(pipeline.modalities.stream_ports, [])(rows).batch


def _step(pipeline: mmsdk.Pipeline, batch: mmsdk.Batch, side: str) -> None:
    with gradient_caching(pipeline, Parts(PART)) if side == "parts" else nullcontext():
        loss = pipeline(batch, ["match"])["match"].loss
        assert loss is not None
        (loss / len(batch.ids)).backward()  # type: ignore[no-untyped-call]


def _same(size: int) -> bool:
    """Gradients to 1e-5 of the length of all together."""
    found: list[Tensor] = []
    for side in ("parts", "whole"):
        pipeline = _pipeline()
        _step(pipeline, _batch(pipeline, size), side)
        found.append(torch.cat([part.grad.flatten() for part in pipeline.parameters() if part.grad is not None]))
    return float((found[0] - found[1]).norm() / found[1].norm()) <= 1e-5


def _one(side: str, size: int) -> None:
    torch.set_num_threads(1)
    pipeline = _pipeline()
    _step(pipeline, _batch(pipeline, 2 * PART), side)  # libraries, and gradients, take their memory now
    batch = _batch(pipeline, size)
    print(json.dumps(taken(partial(_step, pipeline, batch, side))._asdict()))


if __name__ == "__main__":
    _one(sys.argv[1], int(sys.argv[2]))
