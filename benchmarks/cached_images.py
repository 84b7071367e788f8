"""An epoch of pictures from files, decoded each time and from the decoded cache."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import mmsdk
from benchmarks.measuring import Result, interleaved
from mmsdk.cache.decoded import Decoded
from mmsdk.data.collate import Collator
from mmsdk.data.sampling import batches
from mmsdk.pipeline.modalities import Port
from mmsdk.pipeline.pipeline import Pipeline

SIZE, BATCH = 224, 32
CONFIG = {
    "streams": {
        "photo": {"modality": {"type": "image", "size": SIZE}, "encoder": {"type": "cnn", "width": 8, "layers": 1}},
        "other": {"shared_with": "photo"},
    },
    "heads": {"match": {"type": "contrastive", "reads": ["photo", "other"], "width": 8}},
}


def run(quick: bool) -> list[Result]:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        rows = _photos(Path(folder), 8 if quick else 512)
        pipeline = Pipeline.from_config(CONFIG)
        known = _known(pipeline, rows, Path(folder) / "cache")
        sides = {
            "from the decoded cache": partial(_seconds, lambda: known, rows),
            "that fills the cache": partial(_seconds_first, pipeline, rows),
            "with Pillow": partial(_seconds, lambda: pipeline.ports[0], rows),
        }
        seconds = interleaved(sides, 1 if quick else 7)
        pairs = zip(_epoch(known, rows), _epoch(pipeline.ports[0], rows), strict=True)
        equal = all(torch.equal(one, other) for one, other in pairs)
    return [
        Result.of(
            f"cached_images: epoch {name} / with Pillow",
            seconds[name],
            seconds["with Pillow"],
            goal=goal,
            equal=equal,
            note=f"{len(rows)} JPEGs of 640 x 480, to {SIZE} x {SIZE}, in batches of {BATCH}",
        )
        for name, goal in {"from the decoded cache": 1 / 5, "that fills the cache": None}.items()
    ]


def _known(pipeline: Pipeline, rows: list[mmsdk.Row], cache: Path) -> Port:
    """Where pictures are read from once they are in the cache."""
    port, config = pipeline.ports[0], pipeline.config.streams["photo"].modality
    assert config is not None
    decoded = Decoded(config, port.modality, cache)
    decoded.fill(port, rows)
    return port._replace(decoded=decoded)


def _seconds_first(pipeline: Pipeline, rows: list[mmsdk.Row]) -> float:
    with tempfile.TemporaryDirectory() as cache:
        return _seconds(partial(_known, pipeline, rows, Path(cache)), rows)


def _seconds(port: Callable[[], Port], rows: list[mmsdk.Row]) -> float:
    """Processor time of one epoch's batches, as far as the encoder."""
    start = time.process_time()
    for _ in _epoch(port(), rows):
        pass
    return time.process_time() - start


def _epoch(port: Port, rows: list[mmsdk.Row]) -> Iterator[Tensor]:
    """The pixels of each batch; without what a training keeps in memory, which large data soon exceeds."""
    collator = Collator([port], [])
    for batch in batches(rows, BATCH):
        yield collator(batch).batch.streams[port.name]["pixels"]  # type: ignore[call-overload]


def _photos(folder: Path, count: int) -> list[mmsdk.Row]:
    """Made-up photos: smooth colours with some grain, about 100 kB each."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(count):
        smooth = Image.fromarray(rng.integers(256, size=(12, 16, 3), dtype=np.uint8)).resize((640, 480), 3)
        grain = rng.integers(-12, 13, size=(480, 640, 3))
        pixels = (np.asarray(smooth) + grain).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.jpg", quality=90)
        rows.append(mmsdk.Row(str(number), {"photo": f"{number}.jpg"}, folder))
    return rows
