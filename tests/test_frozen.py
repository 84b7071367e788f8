"""Weights that no stage trains stand once in a run, and come back from there."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from safetensors.torch import load_file

import mmsdk
from mmsdk.training.checkpoint import Checkpoints
from mmsdk.training.frozen import Frozen
from tests.programs import made_up
from tests.test_checkpoint import weights


def config(**more: Any) -> dict[str, Any]:
    """Two stages of which none trains the encoder of "image"; the others are trained by the second."""
    small = made_up.pipeline(epochs=2)
    stages = [{"name": "top", "freeze": ["streams"]}, {"name": "more", "freeze": ["streams.image"]}]
    return small | {"stages": stages, "heads": {"colour": made_up.COLOUR}} | more


def stopped(folder: Path, after: int) -> Path:
    """A run that died once it had saved so many checkpoints."""
    left = [after]

    def saving(self: Checkpoints, *given: Any) -> None:
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        save(self, *given)

    save = Checkpoints.save
    with patch.object(Checkpoints, "save", saving), pytest.raises(KeyboardInterrupt):
        mmsdk.train(config(), made_up.samples(20), out=folder, show=False)
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mmsdk.train(config(), made_up.samples(20), out=tmp_path_factory.mktemp("whole"), show=False).run


def test_checkpoints_hold_what_any_stage_trains_and_frozen_holds_the_rest(whole: Path) -> None:
    frozen = load_file(whole / "checkpoints" / "frozen" / "model.safetensors")
    saved = load_file(whole / "pipeline" / "model.safetensors")
    assert frozen and all(name.startswith("streams.image.encoder.") for name in frozen)
    assert all(torch.equal(each, saved[name]) for name, each in frozen.items())
    newest = Checkpoints(whole / "checkpoints", keep=2).newest()
    assert newest is not None
    assert load_file(newest / "model.safetensors").keys() == saved.keys() - frozen.keys()


@pytest.mark.parametrize("after", [1, 3])
def test_a_run_goes_on_to_the_same_end(whole: Path, tmp_path: Path, after: int) -> None:
    folder = stopped(tmp_path, after)
    mmsdk.train(config(), made_up.samples(20), out=folder, resume=True, show=False)
    assert weights(folder) == weights(whole)


def test_what_is_frozen_comes_from_the_run_and_not_from_where_it_came_from(whole: Path, tmp_path: Path) -> None:
    """Such as a folder of pre-trained weights, which somebody may have changed."""
    folder = stopped(tmp_path, 2)

    def otherwise(pipeline: mmsdk.Pipeline) -> None:
        for parameter in pipeline.parameters():
            parameter.data.fill_(0.5)

    with patch.object(mmsdk.Pipeline, "initialize", otherwise):
        mmsdk.train(config(), made_up.samples(20), out=folder, resume=True, show=False)
    assert weights(folder) == weights(whole)


def test_a_run_begins_again_where_what_is_frozen_is_damaged(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = stopped(tmp_path, 2)
    path = folder / "checkpoints" / "frozen" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    mmsdk.train(config(), made_up.samples(20), out=folder, resume=True, show=False)
    assert f"{path}: damaged: its content is not what was written; passed over" in capsys.readouterr().err
    assert weights(folder) == weights(whole)


def test_a_run_from_before_goes_on(whole: Path, tmp_path: Path) -> None:
    """Its checkpoints hold everything."""
    with patch.object(Frozen, "write"):
        folder = stopped(tmp_path, 3)
    assert not (folder / "checkpoints" / "frozen").exists()
    mmsdk.train(config(), made_up.samples(20), out=folder, resume=True, show=False)
    assert weights(folder) == weights(whole)


def test_nothing_stays_of_a_run_that_died_before_its_first_checkpoint(tmp_path: Path) -> None:
    folder = stopped(tmp_path, 0)
    assert (folder / "checkpoints" / "frozen").is_dir()
    all_trained = config(stages=[{"name": "all"}])
    mmsdk.train(all_trained, made_up.samples(20), out=folder, show=False)
    assert not (folder / "checkpoints" / "frozen").exists()


def test_tied_weights_are_frozen_under_each_of_their_names(whole: Path, tmp_path: Path) -> None:
    pipeline = mmsdk.Pipeline.load(whole)
    encoder: Any = pipeline.encoders["image"]
    encoder.again = encoder.get_submodule(next(name for name, _ in encoder.named_children()))
    trained = {name for name, _ in pipeline.named_parameters() if not name.startswith("streams.image.")}
    frozen = Frozen(tmp_path / "frozen")
    frozen.write(pipeline, trained)
    named = {name for name, _ in pipeline.named_parameters(remove_duplicate=False)}
    assert frozen.names() == named - trained and any(".again." in name for name in frozen.names())
    before = {name: each.clone() for name, each in pipeline.state_dict().items()}
    for name, parameter in pipeline.named_parameters():
        if name not in trained:
            parameter.data.zero_()
    frozen.load(pipeline)
    assert all(torch.equal(each, before[name]) for name, each in pipeline.state_dict().items())
    shutil.rmtree(tmp_path / "frozen")
    assert frozen.names() == set()
