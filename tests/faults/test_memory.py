"""F9: the memory runs out in a step: encoders take fewer values at a time, and the run ends as it would have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import mmsdk
from mmsdk.builtin.encoders.bag import BagEncoder
from mmsdk.errors import TrainingError
from mmsdk.training import loop as training
from mmsdk.training import steps
from mmsdk.training.memory import TRIES
from tests.faults.tally import Tally
from tests.programs import made_up
from tests.programs.killing import entries, weights

ROWS = {"train": made_up.samples(40, absent=0.1), "valid": made_up.samples(6, seed=1)}
STEPS = 9
RAN_OUT = "CUDA out of memory. Tried to allocate 20.00 MiB"


@pytest.fixture(autouse=True)
def no_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "draw_curve", lambda entries, path: False)


def config(**more: Any) -> made_up.Config:
    """Three epochs of three steps, without dropout, with a loss that looks at the whole batch."""
    return made_up.pipeline(epochs=3, **{"batch_size": 16, **more})


def train(folder: Path, given: made_up.Config, resume: bool = False) -> mmsdk.Trained:
    return mmsdk.train(given, ROWS, out=folder, resume=resume, show=False)


@contextmanager
def room_for(values: int, at: int = 1, way: str = "forward") -> Iterator[None]:
    """From step `at` on the encoder of texts needs more memory than there is for more values than these."""
    now, encode, seed = 0, BagEncoder.forward, steps.step_seed

    def counting(own: int, step: int, rank: int) -> int:
        nonlocal now
        now = step + 1
        return seed(own, step, rank)

    def run_out(*_: object) -> None:
        raise torch.OutOfMemoryError(RAN_OUT)

    def encoding(encoder: BagEncoder, inputs: Any) -> Any:
        too_many = now >= at and torch.is_grad_enabled() and len(next(iter(inputs.values()))) > values
        if too_many and way == "forward":
            run_out()
        found = encode(encoder, inputs)
        if too_many:
            found.pooled.register_hook(run_out)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "step_seed", counting)
        patch.setattr(BagEncoder, "forward", encoding)
        yield


def losses(folder: Path) -> list[dict[str, float]]:
    return [entry["losses"] for entry in entries(folder) if entry["event"] in ("step", "epoch")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs with memory enough, by the number of parts."""
    folder = tmp_path_factory.mktemp("whole")
    for parts in (1, 2):
        train(folder / f"{parts}", config(accumulation=parts))
    return folder


@pytest.mark.slow
@pytest.mark.faults("F9")
def test_the_batch_stays_what_it_was(tally: Tally, whole: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(tally.size(20, 200)):
        parts, way = 1 + number % 2, ("forward", "backward")[number // 2 % 2]
        at, values = int(rng.integers(1, STEPS)), int(rng.integers(1, 4))
        folder = tmp_path / f"{number}"
        with tally.case(f"{way}, room for {values} from step {at} on, {parts} parts"), room_for(values, at, way):
            train(folder, config(accumulation=parts))
            told = [entry for entry in entries(folder) if entry["event"] == "out_of_memory"]
            assert told and told[0]["total"] >= at - 1 and told[-1]["micro_batch"] <= values
            pairs = zip(losses(folder), losses(whole / f"{parts}"), strict=True)
            assert all(own == pytest.approx(other, rel=1e-5, abs=1e-5) for own, other in pairs)
            found, wanted = (load_file(run / "pipeline" / "model.safetensors") for run in (folder, whole / f"{parts}"))
            assert all(torch.allclose(found[name], wanted[name], rtol=0, atol=1e-5) for name in wanted)


@pytest.mark.faults("F9")
def test_no_room_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = (
        r"Step 4: the memory of the device has run out, although encoders take 1 values.*Tried to allocate.*batch_size"
    )
    with room_for(0, 4), pytest.raises(TrainingError, match=told):
        train(tmp_path, config())
    halved = [entry["micro_batch"] for entry in entries(tmp_path) if entry["event"] == "out_of_memory"]
    assert halved[-1] == 1 and len(halved) <= TRIES
    assert (tmp_path / "checkpoints" / "step-00000003").is_dir()
    train(tmp_path, config(), resume=True)  # on a machine with more memory


@pytest.mark.faults("F9")
def test_six_tries_are_the_most(tmp_path: Path) -> None:
    rows = made_up.samples(200, absent=0.0)
    for number, row in enumerate(rows):
        row["text"] = f"{row['text']} {number}"
    with room_for(0), pytest.raises(TrainingError, match="although encoders take 4 values"):
        mmsdk.train(config(batch_size=200), rows, out=tmp_path, show=False)


@pytest.mark.faults("F9")
def test_a_run_goes_on_with_what_it_had_come_to(tmp_path: Path) -> None:
    """The same end, with dropout, where the resumed run has as little room; and no second try."""
    given = made_up.pipeline(lively=True, epochs=3, batch_size=16)
    with room_for(3, 2):
        train(tmp_path / "whole", given)
    with room_for(0, 8), pytest.raises(TrainingError), room_for(3, 2):
        train(tmp_path / "stopped", given)
    with room_for(3, 2):
        train(tmp_path / "stopped", given, resume=True)
    assert weights(tmp_path / "stopped") == weights(tmp_path / "whole")
    assert entries(tmp_path / "stopped") == entries(tmp_path / "whole")


def test_other_errors_are_none_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("CUDA out of memory, says somebody else")

    monkeypatch.setattr(BagEncoder, "forward", broken)
    with pytest.raises(RuntimeError, match="says somebody else"):
        train(tmp_path, config())


def test_values_at_a_time_may_change_when_a_run_goes_on(tmp_path: Path) -> None:
    with room_for(0, 8), pytest.raises(TrainingError):
        train(tmp_path, config(micro_batch=8))
    train(tmp_path, config(micro_batch=4), resume=True)
