"""Decision rules learn after each stage from the valid split, and what they learned stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import mmsdk
from mmsdk.data.samples import as_row
from mmsdk.errors import DataError
from mmsdk.pipeline.decision import DecisionHead
from mmsdk.training import figures
from mmsdk.training import loop as training
from mmsdk.training.held_out import learn, listen
from mmsdk.training.stage import Stage
from tests.programs import killing, made_up

ROWS = {"train": made_up.samples(40), "valid": made_up.samples(30, seed=1)}
WEIGHTED = {"type": "decision_weighted", "calibrate": True}


class Stopped(Exception):
    """Stands for the end of the process."""


@pytest.fixture(autouse=True)
def no_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "draw_curve", lambda entries, path: False)


def config(decision: Any = WEIGHTED, **more: Any) -> made_up.Config:
    given = made_up.pipeline(lively=True, **{"epochs": 3, **more})
    given["heads"] = {"colour": made_up.COLOUR, "shape": {**made_up.SHAPE, "decision": decision}}
    return given


def train(folder: Path, given: made_up.Config, rows: Any = ROWS, resume: bool = False) -> mmsdk.Trained:
    return mmsdk.train(given, rows, out=folder, resume=resume, show=False)


def learned(pipeline: mmsdk.Pipeline) -> dict[str, Tensor]:
    head = pipeline.heads["shape"]
    assert isinstance(head, DecisionHead)
    return dict(head.rule.state_dict())


def rows(split: str) -> list[Any]:
    return [as_row(row, str(number)) for number, row in enumerate(ROWS[split])]


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(part, other[name]) for name, part in one.items())


@pytest.mark.parametrize("keep", ["best", "last"])
@pytest.mark.parametrize("decision", [WEIGHTED, "decision_stacking", {"type": "decision_vote", "weights": "accuracy"}])
def test_a_rule_learns_with_the_weights_that_stay(tmp_path: Path, keep: str, decision: Any) -> None:
    """What the saved pipeline's own heads say of the valid rows teaches the rule what it knows already."""
    train(tmp_path, config(decision, keep=keep, learning_rate=0.03))
    pipeline = mmsdk.Pipeline.load(tmp_path)
    before = {name: part.clone() for name, part in learned(pipeline).items()}
    again = learn(pipeline, [listen(pipeline, rows("valid"), ["shape"])])["shape"]
    assert equal(before, again)
    elsewhere = learn(pipeline, [listen(pipeline, rows("train"), ["shape"])])["shape"]
    assert not equal(before, elsewhere)


def test_figures_are_those_of_the_rule_that_has_learned(tmp_path: Path) -> None:
    trained = train(tmp_path, config())
    found = mmsdk.evaluate(tmp_path, {"valid": ROWS["valid"]})
    assert found == pytest.approx({name: trained.metrics[name] for name in found})


def test_only_rows_with_a_target_teach(tmp_path: Path) -> None:
    assert any("shape" not in row for row in ROWS["valid"])
    known = [row for row in ROWS["valid"] if "shape" in row]
    pipeline = train(tmp_path, config(epochs=1)).pipeline
    heard = listen(pipeline, rows("valid"), ["shape"])
    fewer = listen(pipeline, [as_row(row, str(number)) for number, row in enumerate(known)], ["shape"])
    states = [learn(pipeline, [each])["shape"] for each in (heard, fewer)]
    for name, part in states[0].items():
        torch.testing.assert_close(states[1][name], part)


def test_a_rule_learns_again_after_each_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Tensor]] = []
    monkeypatch.setattr(figures, "learn", lambda pipeline, heard: seen.append(state := learn(pipeline, heard)) or state)
    stages = [{"name": "one"}, {"name": "colours", "heads": {"colour": 1.0}}, {"name": "two"}]
    pipeline = train(tmp_path, config(epochs=1) | {"stages": stages}).pipeline
    assert len(seen) == 2
    assert not equal(seen[0]["shape"], seen[1]["shape"])
    assert equal(seen[1]["shape"], learned(pipeline))


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_run_that_is_stopped_as_a_rule_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    """Before what was learned is saved, or right after."""
    given = config(epochs=2) | {"stages": [{"name": "one"}, {"name": "two"}]}
    train(tmp_path / "whole", given)
    folder, save = tmp_path / "stopped", Stage.save
    for stage in (0, 1):

        def stopping(own: Stage, optimizer: Any, stage: int = stage) -> bool:
            ends = optimizer is None and own.context.job.position.stage == stage + 1
            saved = save(own, optimizer) if not ends or when == "after" else False
            if ends:
                raise Stopped
            return saved

        with monkeypatch.context() as patch, pytest.raises(Stopped):
            patch.setattr(Stage, "save", stopping)
            train(folder, given, resume=True)
    train(folder, given, resume=True)
    for outcome in (killing.weights, killing.metrics, killing.entries):
        assert outcome(folder) == outcome(tmp_path / "whole")  # type: ignore[operator]


def test_a_bad_row_of_the_valid_split_is_skipped_once(tmp_path: Path) -> None:
    bad = {**ROWS["valid"][0], "id": "bad", "numbers": made_up.UNREADABLE, "shape": "circle"}
    train(tmp_path, config(epochs=1, on_error="skip"), {**ROWS, "valid": [*ROWS["valid"], bad]})
    assert (tmp_path / "bad_samples.jsonl").read_text().count('"bad"') == 1


UNTOLD = [{name: value for name, value in row.items() if name != "shape"} for row in ROWS["valid"]]


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        ({"train": ROWS["train"]}, ["split 'valid'", "(there are 'train')", "data={'train': [...], 'valid': [...]}"]),
        ({"train": ROWS["train"], "valid": []}, ["there are 'train', 'valid'"]),
        ({"train": ROWS["train"], "valid": UNTOLD}, ["no row in it has this head's target"]),
    ],
)
def test_without_a_valid_split_it_is_refused_before_the_training(tmp_path: Path, data: Any, parts: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        train(tmp_path / "run", config(), data)
    message = str(caught.value)
    for part in ["Head 'shape': 'decision_weighted' learns from", "decision: {type: decision_mean}", *parts]:
        assert part in message
    assert not list((tmp_path / "run").glob("checkpoints/*"))
    train(tmp_path / "run", config("decision_mean", epochs=1), data)  # it learns nothing, and needs nothing


@pytest.mark.parametrize(
    ("data", "advice"),
    [
        ({"path": "all.csv"}, "Add 'holdout: {valid: 0.2}' to `data:`"),
        ({"path": "all.csv", "valid_split": "dev"}, "Add 'holdout: {dev: 0.2}' to `data:`"),
        ({"path": "all.csv", "split_column": "part"}, "Write 'valid' into column 'part' of some rows"),
        ({"train": "all.csv"}, "Add 'valid: FILE' to `data:`"),
    ],
)
def test_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: Any, advice: str) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [f"{word},{shape},train" for word, shape in [("round", "circle"), ("edgy", "square")] * 4]
    Path("all.csv").write_text("\n".join(["text,shape,part", *lines]))
    given = config() | {"streams": {name: made_up.STREAMS["text"] | {"column": "text"} for name in ("text", "again")}}
    given["heads"] = {"shape": {**given["heads"]["shape"], "reads": ["text", "again"]}}
    del given["fusion"]
    with pytest.raises(DataError) as caught:
        mmsdk.train(given | {"data": data}, out="run", show=False)
    assert advice in str(caught.value)
