"""F8: a loss, a gradient, an input or weights that are not finite: found in the same step, and nothing stays of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import mmsdk
from mmsdk.errors import CheckpointError, TrainingError
from mmsdk.folders import MANIFEST, write_folder
from mmsdk.training import figures, steps
from mmsdk.training import loop as training
from mmsdk.training.checkpoint import Checkpoints
from mmsdk.training.context import Context
from mmsdk.training.not_finite import IN_A_ROW
from tests.faults.tally import Tally
from tests.programs import made_up
from tests.programs.killing import entries, metrics, weights

KINDS = ("loss", "gradient", "input", "loss in a part")
STEPS = 12
ROWS = {"train": made_up.samples(21), "valid": made_up.samples(6, seed=1)}
NAN = float("nan")


@pytest.fixture(autouse=True)
def no_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "draw_curve", lambda entries, path: False)


def config(policy: str = "raise", **more: Any) -> made_up.Config:
    """Four epochs of three steps, with dropout, augmentation and, in `cnn`, running means."""
    return made_up.pipeline(lively=True, epochs=4, not_finite=policy, **more)


def train(folder: Path, given: made_up.Config, resume: bool = False) -> mmsdk.Trained:
    return mmsdk.train(given, ROWS, out=folder, resume=resume, show=False)


@contextmanager
def poisoned(kind: str, *totals: int) -> Iterator[None]:
    """Training meets what is not finite in these steps, 1 for the first."""
    now = 0
    seed, total, without = steps.step_seed, steps.total, steps.without_streams

    def counting(own: int, step: int, rank: int) -> int:
        nonlocal now
        now = step + 1
        return seed(own, step, rank)

    def losing(outputs: Any, *rest: Any) -> Any:
        name, output = next((name, output) for name, output in outputs.items() if output.count)
        if now in totals and kind.startswith("loss"):
            outputs = {**outputs, name: output._replace(loss=output.loss * NAN)}
        loss, sums = total(outputs, *rest)
        if now in totals and kind == "gradient":
            loss.register_hook(lambda gradient: gradient * NAN)
        return loss, sums

    def reading(batch: Any, *rest: Any) -> Any:
        batch = without(batch, *rest)
        if now in totals and kind == "input":
            plain = batch.streams["image"]
            image = {key: part * NAN if part.is_floating_point() else part for key, part in plain.items()}
            batch = batch._replace(streams={**batch.streams, "image": image})
        return batch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "step_seed", counting)
        patch.setattr(steps, "total", losing)
        patch.setattr(steps, "without_streams", reading)
        yield


def is_finite(folder: Path) -> bool:
    found = load_file(folder / "pipeline" / "model.safetensors")
    return all(bool(torch.isfinite(tensor).all()) for tensor in found.values() if tensor.is_floating_point())


def noted(folder: Path) -> list[dict[str, Any]]:
    return [entry for entry in entries(folder) if entry["event"] == "not_finite"]


@pytest.mark.faults("F8")
@pytest.mark.parametrize("policy", ["raise", "skip", "rollback"])
def test_each_policy(tally: Tally, tmp_path: Path, policy: str) -> None:
    rng = np.random.default_rng(len(policy))
    for number in range(tally.size(4, 40)):
        kind, folder = KINDS[number % len(KINDS)], tmp_path / f"{number}"
        at = int(rng.integers(1, STEPS + 1))
        given = config(policy, accumulation=2 if kind == "loss in a part" else 1)
        with tally.case(f"{policy}, {kind}, step {at}"), poisoned(kind, at):
            if policy == "raise":
                with pytest.raises(TrainingError, match=rf"Step {at}: .* is not finite. Samples of this batch: '0-"):
                    train(folder, given)
                continue
            train(folder, given)
            (found,) = noted(folder)
            assert found["total"] == at and found["action"] == policy
            assert 0 < len(found["samples"]) <= 8 and set(found["samples"]) <= {row["id"] for row in ROWS["train"]}
            assert is_finite(folder)
            taken = [entry["total"] for entry in entries(folder) if entry["event"] == "step"]
            assert taken == [step for step in range(1, STEPS + 1) if step != at]
            assert all(math.isfinite(own) for entry in entries(folder) for own in entry["losses"].values())


@pytest.mark.faults("F8")
@pytest.mark.parametrize("policy", ["skip", "rollback"])
def test_a_run_that_is_stopped_comes_to_the_same_end(tally: Tally, tmp_path: Path, policy: str) -> None:
    """Stopped before, in and after the steps that are undone, twice in an epoch."""

    class Stopped(Exception): ...

    given, set_rates = config(policy, checkpoint={"every": 2}), steps.optimization.set_rates

    with poisoned("input", 5, 6, 8):
        train(tmp_path / "whole", given)
        for at in range(1, STEPS + 1, 1 if tally.size(0, 1) else 3):
            calls = 0

            def stopping(*arguments: Any, at: int = at) -> None:
                nonlocal calls
                calls += 1
                if calls == at:
                    raise Stopped
                set_rates(*arguments)

            folder = tmp_path / f"{at}"
            with tally.case(f"{policy}, stopped after {at - 1} steps"):
                with pytest.MonkeyPatch.context() as patch, pytest.raises(Stopped):
                    patch.setattr(steps.optimization, "set_rates", stopping)
                    train(folder, given)
                train(folder, given, resume=True)
                assert weights(folder) == weights(tmp_path / "whole")
                assert metrics(folder) == metrics(tmp_path / "whole")
                assert entries(folder) == entries(tmp_path / "whole")
    assert len(noted(tmp_path / "whole")) == 3


@pytest.mark.faults("F8")
@pytest.mark.parametrize("policy", ["raise", "skip", "rollback"])
def test_weights_of_a_checkpoint(tmp_path: Path, policy: str) -> None:
    """Whole, as far as one can see from outside."""
    with poisoned("loss", 8), pytest.raises(TrainingError):
        train(tmp_path, config())
    newest = tmp_path / "checkpoints" / "step-00000006"
    before = {path.name: path.read_bytes() for path in newest.iterdir() if path.name != MANIFEST}

    def fill(aside: Path) -> None:
        for name, content in before.items():
            (aside / name).write_bytes(content)
        tensors = load_file(aside / "model.safetensors")
        save_file({name: own * NAN for name, own in tensors.items()}, aside / "model.safetensors")

    write_folder(newest, fill)
    with pytest.raises(CheckpointError, match=r"step-00000006.*: the weights '.*' are not finite"):
        train(tmp_path, config(policy), resume=True)


@pytest.mark.faults("F8")
def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = figures.measured

    def spoiling(context: Context, *rest: Any) -> dict[str, float]:
        if context.job.position.total == 6:
            with torch.no_grad():
                next(context.job.pipeline.parameters()).fill_(NAN)
        return measured(context, *rest)

    monkeypatch.setattr(figures, "measured", spoiling)
    with pytest.raises(CheckpointError, match=r"step-00000006: weights that are not finite"):
        train(tmp_path, config())
    assert Checkpoints(tmp_path / "checkpoints", keep=2).newest() == tmp_path / "checkpoints" / "step-00000003"


@pytest.mark.faults("F8")
@pytest.mark.parametrize(("policy", "what"), [("skip", "in a row"), ("rollback", "from the same checkpoint")])
def test_enough_is_enough(tmp_path: Path, policy: str, what: str) -> None:
    given = config(policy)
    given["training"]["batch_size"] = 1
    with poisoned("gradient", *range(3, 3 + IN_A_ROW)):
        train(tmp_path / "just so", given)
    with poisoned("gradient", *range(3, 4 + IN_A_ROW)), pytest.raises(TrainingError, match=rf"Step 13: .*10 {what}"):
        train(tmp_path / "once more", given)


def test_going_back_takes_the_weights_of_the_checkpoint(tmp_path: Path) -> None:
    """With nothing but steps that are undone after it, these are the weights that the run ends with."""
    given = config("rollback", keep="last")
    with poisoned("gradient", 12):
        train(tmp_path, given)
    saved = load_file(tmp_path / "checkpoints" / "step-00000009" / "model.safetensors")
    final = load_file(tmp_path / "pipeline" / "model.safetensors")
    assert all(torch.equal(saved[name], final[name]) for name in saved)


def test_the_policy_may_change_when_a_run_goes_on(tmp_path: Path) -> None:
    with poisoned("loss", 8):
        with pytest.raises(TrainingError, match=r"training.not_finite: skip or rollback goes on"):
            train(tmp_path, config())
        train(tmp_path, config("skip"), resume=True)
    assert [entry["total"] for entry in noted(tmp_path)] == [8]
