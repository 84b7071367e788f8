"""Checkpoints of a run: which of them stay, and what happens to a run whose checkpoints are damaged."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

import pytest
import torch

import mmsdk
from mmsdk.config.pipeline import PipelineConfig
from mmsdk.data.samples import as_row
from mmsdk.errors import CheckpointError
from mmsdk.folders import MANIFEST
from mmsdk.pipeline.modalities import Modalities
from mmsdk.pipeline.pipeline import Pipeline
from mmsdk.training import figures
from mmsdk.training import loop as training
from mmsdk.training.checkpoint import Checkpoints, Position, restored
from mmsdk.training.context import Context
from tests.faults.tally import Tally
from tests.programs import made_up
from tests.test_folders import counted

FILES = ["model.safetensors", "optimizer.json", "optimizer.safetensors", "position.json", MANIFEST]


def config(**more: object) -> made_up.Config:
    small = made_up.pipeline(epochs=3, checkpoint={"every": 2})
    return small | {"heads": {"colour": made_up.COLOUR}} | more


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    rows = [as_row(sample, "") for sample in made_up.samples(20)]
    checked = PipelineConfig.model_validate(config())
    return Pipeline(checked, Modalities(checked).fit(lambda: rows))


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "checkpoints", keep=2)


def kept(checkpoints: Checkpoints) -> list[int]:
    return [int(name.removeprefix("step-")) for name in sorted(os.listdir(checkpoints.folder))]


def save(checkpoints: Checkpoints, pipeline: Pipeline, *totals: int, best: int | None = None) -> None:
    for total in totals:
        checkpoints.save(pipeline, None, Position(total=total, best_total=best))


def test_weights_and_position_come_back(checkpoints: Checkpoints, pipeline: Pipeline) -> None:
    position = Position(1, 2, 33, 0.1 + 0.2, 22, 1, 400, 5.5, 66, {"colour": [1.1, 3.0]}, {"scale": 2.0})
    checkpoints.save(pipeline, {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": []}, position)
    newest = checkpoints.newest()
    assert newest == checkpoints.path(33) and checkpoints.position(newest) == position
    before = {name: tensor.clone() for name, tensor in pipeline.state_dict().items()}
    with torch.no_grad():
        for parameter in pipeline.parameters():
            parameter.add_(1)
    checkpoints.load_weights(pipeline, newest)
    assert all(torch.equal(before[name], tensor) for name, tensor in pipeline.state_dict().items())
    fresh = {"state": {}, "param_groups": [{"lr": 0.5}]}
    assert restored(fresh, checkpoints.load_optimizer(newest)) == {**fresh, "state": {0: {"step": torch.tensor(3.0)}}}


def test_the_newest_stay_and_the_best_of_each(checkpoints: Checkpoints, pipeline: Pipeline) -> None:
    assert checkpoints.newest() is None
    save(checkpoints, pipeline, 1, 2, 3)
    assert kept(checkpoints) == [2, 3]
    save(checkpoints, pipeline, 4, 5, 6, 7, best=4)
    assert kept(checkpoints) == [4, 6, 7]
    save(checkpoints, pipeline, 8, best=8)
    assert kept(checkpoints) == [4, 7, 8], "a run that has to go back to 7 may need its best"
    save(checkpoints, pipeline, 9, best=8)
    assert kept(checkpoints) == [8, 9]


def test_what_lies_ahead_is_removed(checkpoints: Checkpoints, pipeline: Pipeline) -> None:
    """It was damaged, and a run went on from an earlier one; it must not be taken for the newest."""
    save(checkpoints, pipeline, 10, 20, 30)
    (checkpoints.path(30) / "model.safetensors").write_bytes(b"")
    told: list[str] = []
    assert checkpoints.newest(lambda error: told.append(str(error))) == checkpoints.path(20)
    assert len(told) == 1 and "step-00000030" in told[0]
    save(checkpoints, pipeline, 25)
    assert kept(checkpoints) == [20, 25]


def test_a_checkpoint_that_is_half_removed_harms_nobody(checkpoints: Checkpoints, pipeline: Pipeline) -> None:
    save(checkpoints, pipeline, 1, 2)
    (checkpoints.path(1) / "position.json").unlink()
    (checkpoints.path(1) / MANIFEST).unlink()
    save(checkpoints, pipeline, 3)
    assert kept(checkpoints) == [2, 3] and checkpoints.newest() == checkpoints.path(3)


@pytest.mark.faults("F2")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_whenever_a_save_dies_there_is_a_whole_checkpoint(
    tally: Tally, checkpoints: Checkpoints, pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(number: int, now: int) -> None:
        if now == number:
            os._exit(9)

    save(checkpoints, pipeline, 1, 2)
    before, found = shutil.copytree(checkpoints.folder, tmp_path / "before"), [2]
    for number in count(1):
        shutil.rmtree(checkpoints.folder)
        shutil.copytree(before, checkpoints.folder)
        child = os.fork()
        if child == 0:
            with counted(monkeypatch, partial(die, number)):
                save(checkpoints, pipeline, 3)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        newest = checkpoints.newest()
        with tally.case(f"call {number}"):
            assert newest is not None
        assert newest is not None
        found.append(int(newest.name[-1]))
        if code == 0:
            break
        save(checkpoints, pipeline, found[-1] + 1)
        assert checkpoints.newest() == checkpoints.path(found[-1] + 1)
    assert code == 0 and found == sorted(found) and set(found) == {2, 3}
    assert found.count(3) > 5, "nothing died while old ones were removed"


@pytest.mark.parametrize("content", ["", "[]", "{", '{"unknown": 1}'])
def test_a_position_that_is_none(checkpoints: Checkpoints, content: str) -> None:
    folder = checkpoints.path(1)
    folder.mkdir(parents=True)
    (folder / "position.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"position.json: damaged"):
        checkpoints.position(folder)


# Whole runs


@pytest.fixture(autouse=True)
def no_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than these trainings."""
    monkeypatch.setattr(training, "draw_curve", lambda entries, path: False)


@pytest.fixture(scope="module")
def half_way(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 9 steps that died after step 6, its checkpoints, and the end that it should come to."""
    folder = tmp_path_factory.mktemp("runs")
    mmsdk.train(config(), made_up.samples(20), out=folder / "whole", show=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "save", dying(Checkpoints.save, 7))
        with pytest.raises(Died):
            mmsdk.train(config(), made_up.samples(20), out=folder / "died", show=False)
    return folder


class Died(Exception):
    """Stands for the end of the process."""


def dying(save: Callable[..., None], at: int) -> Callable[..., None]:
    def saving(checkpoints: Checkpoints, pipeline: Pipeline, optimizer: object, position: Position) -> None:
        if position.total >= at:
            raise Died
        save(checkpoints, pipeline, optimizer, position)

    return saving


def weights(run: Path) -> bytes:
    return (run / "pipeline" / "model.safetensors").read_bytes()


def damages() -> dict[str, Callable[[Path], object]]:
    def cut(path: Path) -> None:
        path.write_bytes(path.read_bytes()[:-1])

    def flip(path: Path) -> None:
        whole = path.read_bytes()
        path.write_bytes(whole[:-20] + bytes([whole[-20] ^ 1]) + whole[-19:])

    def remove(path: Path) -> None:
        path.unlink()

    def add(path: Path) -> None:
        path.with_name("more" + path.name).write_bytes(b"more")

    return {each.__name__: each for each in (cut, flip, remove, add)}


@pytest.mark.parametrize("damage", damages())
@pytest.mark.parametrize("file", FILES)
def test_any_damage_is_passed_over(half_way: Path, tmp_path: Path, file: str, damage: str) -> None:
    shutil.copytree(half_way / "died" / "checkpoints", tmp_path / "checkpoints")
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=2)
    assert checkpoints.newest() == checkpoints.path(6)
    damages()[damage](checkpoints.path(6) / file)
    assert checkpoints.newest() == checkpoints.path(4)


@pytest.mark.parametrize("damaged", [1, 2])
def test_a_run_with_damaged_checkpoints_comes_to_the_same_end(
    half_way: Path, tmp_path: Path, damaged: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the second, the first is the best so far; with both damaged it starts from the beginning."""
    run = shutil.copytree(half_way / "died", tmp_path / "run")
    whole = sorted((run / "checkpoints").iterdir())
    for folder in whole[-damaged:]:
        (folder / "optimizer.safetensors").write_bytes(b"damaged")
    mmsdk.train(config(), made_up.samples(20), out=run, resume=True, show=False)
    assert weights(run) == weights(half_way / "whole")
    said = capsys.readouterr().err
    assert all(str(folder) in said for folder in whole[-damaged:]) and "passed over" in said
    log = [json.loads(line)["total"] for line in (run / "log.jsonl").read_text().splitlines()]
    assert log == [1, 2, 3, 3, 4, 5, 6, 6, 7, 8, 9, 9]


def test_the_best_weights_are_checked_before_they_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    accuracies = [0.9, 0.5, 0.1]

    def measured(context: Context, *_: object) -> dict[str, float]:
        if context.job.position.total == 9:
            damages()["flip"](context.job.checkpoints.path(3) / "model.safetensors")
        return {"colour/accuracy": accuracies.pop(0)}

    monkeypatch.setattr(figures, "measured", measured)
    rows = {"train": made_up.samples(20), "valid": made_up.samples(20, seed=1)}
    with pytest.raises(CheckpointError, match=r"step-00000003.*damaged"):
        mmsdk.train(config(), rows, out=tmp_path, show=False)


def test_checkpoints_of_another_architecture(half_way: Path, tmp_path: Path) -> None:
    run = shutil.copytree(half_way / "died", tmp_path / "run")
    wider = config(fusion={"type": "gated", "width": 16})
    mmsdk.train(wider, made_up.samples(20), out=tmp_path / "wider", show=False)
    shutil.rmtree(run / "checkpoints")
    shutil.copytree(tmp_path / "wider" / "checkpoints", run / "checkpoints")
    with pytest.raises(CheckpointError, match=r"(?s)model.safetensors: does not fit this pipeline: .*fusion"):
        mmsdk.train(config(), made_up.samples(20), out=run, resume=True, show=False)
