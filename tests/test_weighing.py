"""A saved pipeline that asks for more than its file holds is refused before memory is taken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import mmsdk
from mmsdk.errors import CheckpointError
from mmsdk.folders import write_folder
from tests.export.pipelines import TEXT, config, pipeline, sample


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return pipeline(config(streams={"words": TEXT})).save(tmp_path / "saved")


def with_encoder(saved: Path, **changes: Any) -> Path:
    """The same folder with another encoder in its config, and right checksums."""
    files = {path.name: path.read_bytes() for path in saved.iterdir() if path.name != "MANIFEST.json"}
    head = json.loads(files["pipeline.json"])
    head["config"]["streams"]["words"]["encoder"].update(changes)
    files["pipeline.json"] = json.dumps(head).encode()

    def fill(aside: Path) -> None:
        for name, data in files.items():
            (aside / name).write_bytes(data)

    return write_folder(saved, fill)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"layers": 3}, r"numbers in \d+ tensors, and the config asks for \d+ numbers"),
        ({"width": 30_000}, "asks for more than 268,"),
        ({"layers": 10**9}, "asks for more than 10,"),
    ],
)
def test_what_asks_for_more_is_refused(saved: Path, changes: dict[str, int], told: str) -> None:
    folder = with_encoder(saved, **changes)
    with pytest.raises(CheckpointError, match=told):
        mmsdk.Pipeline.load(folder)


def test_a_component_that_cannot_be_built_without_memory_is_let_pass(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mmsdk.builtin.encoders import bag

    plain = bag.BagEncoder.__init__

    def asking(self: nn.Module, *arguments: Any, **named: Any) -> None:
        plain(self, *arguments, **named)  # type: ignore[arg-type]
        float(torch.ones(1))  # which has no value there

    monkeypatch.setattr(bag.BagEncoder, "__init__", asking)
    assert mmsdk.Pipeline.load(saved).predict(sample(1))[0].error is None


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    own = pipeline(config(streams={"words": TEXT}))
    with torch.no_grad():
        next(own.parameters())[0] = float("inf")
    with pytest.raises(CheckpointError, match=r"the weights '\S+' are not finite"):
        mmsdk.Pipeline.load(own.save(tmp_path / "saved"))
