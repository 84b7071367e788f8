"""An epoch over questions about shared images: grouped by image (`training.group`), and row by row."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import mmsdk
from benchmarks.measuring import Result, interleaved
from benchmarks.training_loop import step_ends
from mmsdk.data.collate import Collator

QUESTIONS = 10
"""About each image, as in easy-VQA, where there are 9.6."""
FUSIONS = {
    "product": {"type": "product", "width": 128},
    "film": {"type": "film", "target": "image", "condition": "question", "width": 128},
}
"""Of one vector of the image, and of its 64 tokens with each question: that part cannot be shared."""
Rows = list[dict[str, Any]]


def run(quick: bool) -> list[Result]:
    torch.set_num_threads(1)
    rows = _rows(32 if quick else 2000)
    return [_compared(name, rows, 1 if quick else 3) for name in FUSIONS]


def _compared(fusion: str, rows: Rows, rounds: int) -> Result:
    with tempfile.TemporaryDirectory() as folder:
        sides = {str(group): partial(_epoch, rows, Path(folder), fusion, group) for group in ("image", None)}
        seconds = interleaved(sides, rounds)
        equal = _equal(rows, Path(folder), fusion)
    return Result.of(
        f"shared_images, {fusion}: grouped / row by row",
        seconds["image"],
        seconds["None"],
        goal=1 / 5 if fusion == "product" else None,
        equal=equal,
        note=f"{len(rows)} questions about {len(rows) // QUESTIONS} images",
    )


def _rows(images: int) -> Rows:
    rng = np.random.default_rng(0)
    rows: Rows = []
    for place in range(images):
        image = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        for number in range(QUESTIONS):
            words = " ".join(rng.choice(["what", "is", "the", "colour", "shape", "here", "red", "blue"], size=6))
            rows.append({"image": image, "question": words, "answer": f"answer {(place + number) % 13}"})
    return rows


def _config(fusion: str, group: str | None) -> dict[str, Any]:
    """The encoders and the batches of docs/examples/easy_vqa."""
    return {
        "streams": {
            "image": {
                "modality": {"type": "image", "size": 64},
                "encoder": {"type": "cnn", "width": 64, "layers": 3},
            },
            "question": {"modality": {"type": "text"}, "encoder": {"type": "bag", "width": 64}},
        },
        "fusion": FUSIONS[fusion],
        "heads": {"answer": {"type": "classification", "target": "answer"}},
        "training": {"epochs": 2, "batch_size": 320, "group": group, "threads": 1, "keep": "last"},
    }


def _epoch(rows: Rows, folder: Path, fusion: str, group: str | None) -> float:
    """Processor time of the second of two epochs, from the end of the first one's last step."""
    with tempfile.TemporaryDirectory(dir=folder) as out, step_ends() as ends:
        mmsdk.train(_config(fusion, group), rows, out=Path(out) / "run", show=False)
    return ends[-1] - ends[len(ends) // 2 - 1]


def _equal(rows: Rows, folder: Path, fusion: str) -> bool:
    """Whether a batch in which images are shared is told the same as its rows one by one."""
    with tempfile.TemporaryDirectory(dir=folder) as out:
        pipeline = mmsdk.train(_config(fusion, "image"), rows, out=Path(out) / "run", show=False).pipeline
    shared = pipeline.predict(rows[:20], batch_size=20)
    single = pipeline.predict(rows[:20], batch_size=1)
    batch = Collator(pipeline.ports, [])(
        [mmsdk.Row(str(place), row, None) for place, row in enumerate(rows[:20])]
    ).batch
    once = len(batch.streams["image"]["pixels"]) == 2  # two images, ten questions each
    return once and all(
        np.allclose([*(one["answer"].scores or {}).values()], [*(other["answer"].scores or {}).values()], atol=1e-5)
        for one, other in zip(shared, single, strict=True)
    )
