"""F7: a disk that is full, read-only or not ours when a checkpoint is saved: training goes on, earlier ones stay."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mmsdk
from mmsdk.errors import CheckpointError, Interrupted, UnwritableError
from mmsdk.training import figures
from mmsdk.training import loop as training
from mmsdk.training.checkpoint import Checkpoints
from mmsdk.training.journal import Journal
from tests.faults.tally import Tally
from tests.programs import made_up
from tests.programs.killing import entries, weights
from tests.test_folders import counted

ERRORS = (errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT, errno.EIO)
STEPS = 9
CALLS = 20
"""Each save makes more calls than that to the disk."""


@pytest.fixture(autouse=True)
def no_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "draw_curve", lambda entries, path: False)


def train(folder: Path, resume: bool = False, **more: Any) -> mmsdk.Trained:
    """Three epochs of three steps, with a checkpoint after every step."""
    config = made_up.pipeline(lively=True, epochs=3, checkpoint={"every": 1}, **more)
    return mmsdk.train(config, made_up.samples(20), out=folder, resume=resume, show=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "draw_curve", lambda entries, path: False)
        return train(tmp_path_factory.mktemp("whole")).run


@contextmanager
def saving(around: Callable[[Checkpoints, int], Any]) -> Iterator[None]:
    """Have each save happen inside of `around(checkpoints, total)`."""
    save = Checkpoints.save

    def within(checkpoints: Checkpoints, pipeline: Any, optimizer: Any, position: Any) -> None:
        with around(checkpoints, position.total):
            save(checkpoints, pipeline, optimizer, position)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "save", within)
        yield


@pytest.mark.faults("F7")
def test_training_goes_on(tally: Tally, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From some step on, at some call of each save, for one save or for all that follow, but the last."""
    rng = np.random.default_rng(0)
    for number in range(tally.size(8, 80)):
        code, call = ERRORS[number % len(ERRORS)], int(rng.integers(1, CALLS))
        first = int(rng.integers(2, STEPS - 1))
        last = first if number % 2 else STEPS - 1
        folder = tmp_path / f"{number}"
        with (
            tally.case(f"{errno.errorcode[code]} at call {call} of the saves {first} to {last}"),
            saving(partial(failing, range(first, last + 1), code, call)),
        ):
            train(folder)
            assert weights(folder) == weights(whole) and entries(folder) == entries(whole)
            assert f"step-{first:08d}: cannot be written" in capsys.readouterr().err


@contextmanager
def failing(totals: range, code: int, call: int, checkpoints: Checkpoints, total: int) -> Iterator[None]:
    def fail(now: int) -> None:
        if now >= call:
            raise OSError(code, os.strerror(code))

    if total not in totals:
        yield
        return
    try:
        with pytest.MonkeyPatch.context() as patch, counted(patch, fail):
            yield
    finally:
        newest = checkpoints.newest()
        assert newest is not None and int(newest.name[-2:]) in range(totals[0] - 1, total + 1)


@pytest.mark.faults("F7")
def test_the_limit_of_the_operating_system(whole: Path, tmp_path: Path) -> None:
    """No file may grow beyond some bytes: the log, too, may end in the middle of a line. Nothing of it is missing."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    step = Journal.step

    def limited(journal: Any, *arguments: Any) -> None:
        total = journal.job.position.total
        size = (tmp_path / "log.jsonl").stat().st_size if total > 1 else 0
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50 if 4 <= total <= 6 else limits[0], limits[1]))
        step(journal, *arguments)

    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Journal, "step", limited)
            train(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert weights(tmp_path) == weights(whole) and entries(tmp_path) == entries(whole)


@pytest.mark.faults("F7")
def test_a_small_disk(whole: Path, tmp_path: Path) -> None:
    """A file system with room for two checkpoints, but not for three; then with room for all."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        with pytest.raises(CheckpointError, match=r"cannot be written"):
            train(disk / "run")
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        train(disk / "run", resume=True)
        assert weights(disk / "run") == weights(whole)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.faults("F7")
def test_a_slow_disk(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sync = os.fsync

    def slow(descriptor: int) -> None:
        time.sleep(0.01)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", slow)
    train(tmp_path)
    assert weights(tmp_path) == weights(whole)


@contextmanager
def full(*totals: int) -> Iterator[None]:
    @contextmanager
    def failing(checkpoints: Checkpoints, total: int) -> Iterator[None]:
        if total in totals:
            raise UnwritableError(f"{checkpoints.path(total)}: cannot be written: no space left")
        yield

    with saving(failing):
        yield


@pytest.mark.faults("F7")
def test_the_best_is_one_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The best epoch is the second, which could not be saved; the best that was saved is the first."""
    found = [0.5, 0.9, 0.1]
    monkeypatch.setattr(figures, "measured", lambda *_: {"colour/accuracy": found.pop(0)} if found else {})
    config = made_up.pipeline(epochs=3) | {"heads": {"colour": made_up.COLOUR}}
    rows = {"train": made_up.samples(20), "valid": made_up.samples(6, seed=1)}
    with full(6):
        mmsdk.train(config, rows, out=tmp_path, show=False)
    best = Checkpoints(tmp_path / "checkpoints", keep=2).path(3)
    assert (best / "model.safetensors").read_bytes() == (tmp_path / "pipeline" / "model.safetensors").read_bytes()


@pytest.mark.faults("F7")
def test_a_signal_tells_that_nothing_could_be_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(interruption: Any, *_: object) -> bool:
        interruption.asked = "SIGTERM"
        return True

    monkeypatch.setattr(training.Interruption, "agreed", asked)
    with full(1), pytest.raises(Interrupted, match="after 1 steps, which could not be saved"):
        train(tmp_path)


def test_what_is_damaged_is_no_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that gives back something else than was written is not gone on with."""

    def damaged(folder: Path) -> None:
        raise CheckpointError(f"{folder}: damaged")

    monkeypatch.setattr("mmsdk.training.checkpoint.verify_folder", damaged)
    with pytest.raises(CheckpointError, match="damaged"):
        train(tmp_path)
