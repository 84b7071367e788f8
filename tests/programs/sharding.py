"""A pipeline with layers, and a program that trains it in processes each of which holds a share of it.

    torchrun ... sharding.py FOLDER

whole     from the beginning to the end
resumed   stopped after a step, and gone on with
for_one   a copy of it as it was when it stopped
from_one  gone on with, where it is there

Made-up samples, no dropout: any number of processes has to come to the same.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import mmsdk
from mmsdk.training.journal import Journal
from tests.programs import made_up

STOP = 7
"""A step in the second epoch of two, of five steps each, the first one after a checkpoint."""


class Stopped(Exception):
    """Stands for the end of all processes."""


def job(**training: Any) -> tuple[made_up.Config, dict[str, made_up.Rows]]:
    """Two stages, two parts per batch, layers that two streams share, layers that are computed twice, a rule that
    learns, a part that is frozen in one stage, one that always is, and the best epoch in the end."""
    config = made_up.pipeline(epochs=2, accumulation=2, sharding="full", activation_checkpointing=["text"], **training)
    config["training"] |= {"checkpoint": {"every": 3}}
    encoder = {"type": "transformer", "width": 8, "layers": 2, "heads": 2, "dropout": 0}
    config["streams"] = {
        "text": {"modality": "text", "encoder": encoder},
        "again": {"shared_with": "text", "column": "more"},
        "numbers": made_up.STREAMS["numbers"],
    }
    config["heads"] = {
        "match": made_up.MATCH,
        "colour": made_up.COLOUR,
        "shape": {**made_up.SHAPE, "reads": ["fused", "numbers", "again"], "decision": "decision_stacking"},
    }
    config["stages"] = [
        {"name": "align", "heads": {"match": 1.0}, "freeze": ["heads.match"]},
        {"name": "tell", "freeze": ["heads.match", "streams.numbers"]},
    ]
    rows = {"train": made_up.samples(37), "valid": made_up.samples(11, seed=1)}
    for number, row in enumerate(row for own in rows.values() for row in own):
        row.pop("image", None)
        row.setdefault("text", f"a {row.get('colour', 'shape')}")
        row["more"] = " ".join(["some more"] * (number % 4))
    return config, rows


def train(folder: Path, *, stop: int | None = None, resume: bool = False, **training: Any) -> mmsdk.Trained | None:
    """Train, or go on; None where it is stopped after so many steps."""
    step = Journal.step

    def stopping(journal: Journal, *arguments: Any) -> None:
        if journal.job.position.total == stop:
            raise Stopped
        step(journal, *arguments)

    config, rows = job(**training)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, "step", stopping)
        try:
            return mmsdk.train(config, rows, out=folder, resume=resume, show=False)
        except Stopped:
            return None


def main() -> None:
    folder = Path(sys.argv[1])
    whole = train(folder / "whole")
    assert whole is not None
    assert whole.pipeline.predict({"numbers": [1.0] * 5})[0].error is None, "what is given back works by itself"
    assert not any(hasattr(parameter, "full_tensor") for parameter in whole.pipeline.parameters())
    train(folder / "resumed", stop=STOP)
    if torch.distributed.get_rank() == 0:
        shutil.copytree(folder / "resumed", folder / "for_one")
    train(folder / "resumed", resume=True)
    train(folder / "from_one", resume=True)


if __name__ == "__main__":
    main()
