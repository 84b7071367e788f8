"""Made-up samples of three streams, pipelines over them, and a program that trains some of them.

    python made_up.py FOLDER JOB...

Everything follows from a seed, so that several processes, or one after a kill, see the same.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import mmsdk
from mmsdk.data.sampling import batches, share, shuffled

Rows = list[dict[str, Any]]
Config = dict[str, Any]
COLOURS, SHAPES, SIZES = ["red", "green", "blue"], ["circle", "square"], ["large", "small"]

STREAMS: Config = {
    "text": {"modality": "text", "encoder": {"type": "bag", "width": 8, "dropout": 0}},
    "numbers": {"modality": "features", "encoder": {"type": "mlp", "width": 8, "hidden": 8, "dropout": 0}},
    "image": {"modality": {"type": "image", "size": 8}, "encoder": {"type": "cnn", "width": 8, "layers": 1}},
}
LIVELY_STREAMS: Config = {
    "text": {"modality": {"type": "text", "word_dropout": 0.2}, "encoder": {"type": "bag", "width": 8}},
    "numbers": {"modality": {"type": "features", "noise": 0.1}, "encoder": {"type": "mlp", "width": 8, "hidden": 8}},
    "image": {
        "modality": {"type": "image", "size": 8, "shift": 0.2, "noise": 0.1},
        "encoder": {"type": "cnn", "width": 8, "layers": 1},
    },
}
UNREADABLE = [1.0, 2.0]
"""Not as many numbers as all others have."""
COLOUR: Config = {"type": "classification", "target": "colour"}
SHAPE: Config = {
    "type": "classification",
    "target": "shape",
    "reads": ["fused", "numbers", "image"],
    "decision": "decision_mean",
}
MATCH: Config = {"type": "contrastive", "reads": ["text", "numbers"], "width": 8}


def samples(count: int, seed: int = 0, absent: float = 0.3, untold: float = 0.3) -> Rows:
    """Rows whose text, numbers and image hint at a colour and a shape; several rows share a value.

    absent: how often a stream is not there, but at least one always is; untold: how often a target is not there.
    """
    rng = np.random.default_rng(seed)
    shared = [(rng.normal(size=5) + 2 * np.eye(5)[colour]).tolist() for colour in range(3)]
    rows: Rows = []
    for place in range(count):
        colour, shape, size = (int(rng.integers(many)) for many in (3, 2, 2))
        numbers = (rng.normal(size=5) + 2 * np.eye(5)[colour]).tolist()
        streams = {
            "text": f"{COLOURS[colour]} {SHAPES[shape]} {SIZES[size]}",
            "numbers": shared[colour] if place % 4 == 0 else numbers,
            "image": (rng.integers(100, size=(8, 8)) + 120 * shape).tolist(),
        }
        targets = {"colour": COLOURS[colour], "shape": SHAPES[shape]}
        here = {name: value for name, value in streams.items() if rng.random() > absent} or {"text": streams["text"]}
        told = {name: value for name, value in targets.items() if rng.random() > untold}
        rows.append({"id": f"{seed}-{place}", **here, **told})
    return rows


def pipeline(*, lively: bool = False, **training: Any) -> Config:
    """Three streams and three heads; dropout and augmentation only if it is to be lively."""
    dropout = 0.2 if lively else 0.0
    return {
        "streams": LIVELY_STREAMS if lively else STREAMS,
        "fusion": {"type": "gated", "width": 8, "dropout": dropout},
        "heads": {"match": MATCH, "colour": COLOUR, "shape": SHAPE},
        "training": {"batch_size": 8, "epochs": 1, "log_every": 1, "threads": 1, "device": "cpu", **training},
    }


def halves() -> tuple[Config, dict[str, Rows]]:
    """20 steps of two stages, of which the first needs half of the parts; the second process never has an image."""
    config = pipeline()
    config["stages"] = [{"name": "align", "heads": {"match": 1.0}}, {"name": "tell"}]
    rows = samples(77, absent=0.2)
    for stage in range(2):
        for batch in batches(shuffled(len(rows), 0, stage, 0), 8):
            for place in share(batch, rank=1, processes=2)[0]:
                rows[place] = {"text": "a circle", **rows[place], "image": None}
    return config, {"train": rows, "valid": samples(21, seed=1)}


def in_parts() -> tuple[Config, dict[str, Rows]]:
    """Batches in two parts, the last one of five samples, and tokens that no head reads; then most parts are frozen."""
    config = pipeline(accumulation=2, epochs=2)
    config["heads"] = {"colour": {**COLOUR, "reads": ["fused.numbers"]}}
    config["fusion"] = {"type": "cross_attention", "width": 8, "heads": 2, "layers": 1, "dropout": 0}
    config["stages"] = [{"name": "all"}, {"name": "head", "freeze": ["streams", "fusion"]}]
    return config, {"train": samples(37, untold=0.0), "valid": samples(10, seed=1, untold=0.0)}


def learning_rules() -> tuple[Config, dict[str, Rows]]:
    """A decision rule that learns after each of two stages, from a split whose last batch is not full."""
    config = pipeline(epochs=3)
    stacking = {**SHAPE, "reads": ["fused", "text"], "decision": "decision_stacking"}
    weighted = {**SHAPE, "decision": {"type": "decision_weighted", "calibrate": True}}
    config["heads"] = {"stacked": stacking, "weighted": weighted}
    config["stages"] = [{"name": "one"}, {"name": "other", "heads": {"stacked": 1.0}}]
    return config, {"train": samples(29), "valid": samples(31, seed=1), "test": samples(9, seed=2)}


def slowed() -> tuple[Config, dict[str, Rows]]:
    """The steps of encoders and the streams of rows depend on the step; batches in two parts, the last one smaller."""
    dropped = {"text": 0.3, "image": {"start": 0.1, "end": 0.6}}
    config = pipeline(epochs=4, accumulation=2, balance="ogm_ge", modality_dropout=dropped)
    config["heads"] = {"match": MATCH, "colour": {**COLOUR, "auxiliary": 0.3}}
    config["streams"] = {**STREAMS, "more": {"shared_with": "numbers", "column": "numbers"}}
    config["stages"] = [{"name": "align", "heads": {"match": 1.0}, "epochs": 1}, {"name": "tell"}]
    return config, {"train": samples(37), "valid": samples(10, seed=1)}


def blended() -> tuple[Config, dict[str, Rows]]:
    """Weights of losses that change after every second epoch, in the second of two stages, with part of the rows."""
    config = pipeline(epochs=7, learning_rate=0.005, balance={"type": "gradient_blend", "epochs": 2, "samples": 15})
    config["heads"] = {"match": MATCH, "colour": {**COLOUR, "auxiliary": 0.5}}
    config["stages"] = [{"name": "align", "heads": {"match": 1.0}, "epochs": 1}, {"name": "tell"}]
    return config, {"train": samples(29), "valid": samples(31, seed=1)}


def foretelling() -> tuple[Config, dict[str, Rows]]:
    """A fusion with losses of its own, over the rows that have a stream and another one."""
    config = pipeline(epochs=4, accumulation=2)
    config["fusion"] = {"type": "imputed", "by": "regression", "of": {"type": "gated", "width": 8, "dropout": 0}}
    return config, {"train": samples(37), "valid": samples(10, seed=1)}


def by_length() -> tuple[Config, dict[str, Rows]]:
    """Batches of a number of tokens, of texts of many lengths, in two parts; more and fewer rows than processes."""
    config = pipeline(epochs=3, accumulation=2, batch_tokens=60)
    del config["training"]["batch_size"]
    rows = samples(37)
    for place, row in enumerate(rows):
        if "text" in row:
            row["text"] = " ".join([row["text"]] * (1 + place % 9))
    return config, {"train": rows, "valid": samples(10, seed=1)}


def cached_gradients() -> tuple[Config, dict[str, Rows]]:
    """Encoders that take three values at a time, below a loss that looks at all rows; values that rows share."""
    config = pipeline(epochs=3, micro_batch=3)
    config["stages"] = [{"name": "align", "heads": {"match": 1.0}}, {"name": "tell"}]
    return config, {"train": samples(37), "valid": samples(10, seed=1)}


def enduring() -> tuple[Config, dict[str, Rows]]:
    """Two stages with dropout and augmentation, and a checkpoint after each step."""
    config = pipeline(lively=True, epochs=3, checkpoint={"every": 1})
    config["stages"] = [{"name": "align", "heads": {"match": 1.0}}, {"name": "tell"}]
    return config, {"train": samples(60), "valid": samples(10, seed=1)}


def seldom_saved() -> tuple[Config, dict[str, Rows]]:
    """The same, but with a checkpoint after each epoch alone."""
    config, rows = enduring()
    del config["training"]["checkpoint"]
    return config, rows


def with_bad_samples() -> tuple[Config, dict[str, Rows]]:
    """Samples that cannot be read, each of which is met in every epoch; the last batch is of one sample."""
    config = pipeline(epochs=4, on_error="skip")
    rows = {"train": samples(33), "valid": samples(10, seed=1)}
    for split in rows.values():
        for row in split[2::6]:
            row["numbers"] = UNREADABLE
    return config, rows


JOBS: dict[str, Callable[[], tuple[Config, dict[str, Rows]]]] = {
    each.__name__: each
    for each in (
        halves,
        in_parts,
        with_bad_samples,
        learning_rules,
        slowed,
        blended,
        foretelling,
        by_length,
        cached_gradients,
        enduring,
        seldom_saved,
    )
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("jobs", nargs="+", choices=JOBS)
    given = parser.parse_args()
    for name in given.jobs:
        config, rows = JOBS[name]()
        mmsdk.train(config, rows, out=given.folder / name, show=False)


if __name__ == "__main__":
    main()
