"""F5: a run that is asked to stop saves a checkpoint, ends with exit code 85, and goes on as if nothing had been."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import mmsdk
from mmsdk.errors import Interrupted
from mmsdk.training import loop as training
from mmsdk.training import stage
from mmsdk.training.checkpoint import Checkpoints
from mmsdk.training.interruption import Interruption
from mmsdk.training.journal import Journal
from tests.faults.tally import SIZE, Tally
from tests.programs import made_up, stopping
from tests.programs.killing import entries

ROOT = Path(__file__).parents[2]
SECONDS = 30.0
HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.faults("F5")
@pytest.mark.parametrize("seed", range(2 if SIZE == "quick" else 10))
def test_signals_at_random_instants(tally: Tally, tmp_path: Path, seed: int) -> None:
    """To one process, or to one of two."""
    command = [sys.executable, "-W", "error", "-m", stopping.__name__, str(tmp_path), "--processes", str(1 + seed % 2)]
    command += ["--signals", str(tally.size(5, 10)), "--seed", str(seed)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1000)
    assert done.returncode == 0, done.stderr
    *signals, end = map(json.loads, done.stdout.splitlines())
    assert end["same"]
    for found in signals:
        with tally.case(found):
            assert set(found["codes"]) == {85}
            assert found["steps_lost"] == 0
            assert found["seconds"] < SECONDS
            tally.figure("most_seconds", round(found["seconds"], 2))


@pytest.fixture
def signalled(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have this process get signals while it takes a step: `signalled(3, SIGTERM)`."""
    monkeypatch.setattr(training, "draw_curve", lambda entries, path: False)

    def at(total: int, *numbers: int) -> None:
        plain = Journal.add

        def add(journal: Journal, *arguments: Any) -> None:
            if journal.job.position.total == total - 1:
                for number in numbers:
                    signal.raise_signal(number)
            plain(journal, *arguments)

        monkeypatch.setattr(Journal, "add", add)

    return at


def train(folder: Path, **more: Any) -> mmsdk.Trained:
    config, rows = made_up.seldom_saved()
    return mmsdk.train(config, rows, out=folder, **{"show": False, **more})


@pytest.mark.faults("F5")
@pytest.mark.parametrize("number", HANDLED)
def test_the_step_is_taken_to_its_end(
    tmp_path: Path, signalled: Callable[..., None], number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    before = [signal.getsignal(each) for each in HANDLED]
    signalled(11, number)
    with pytest.raises(Interrupted, match=r"stopped by SIG\w+, after 11 steps, which are saved.*--resume") as raised:
        train(tmp_path, show=True)
    assert raised.value.code == 85 and str(raised.value) in capsys.readouterr().err
    newest = Checkpoints(tmp_path / "checkpoints", keep=2).newest()
    assert newest is not None and newest.name == "step-00000011"
    assert [entry["total"] for entry in entries(tmp_path)][-1] == 11
    assert [signal.getsignal(each) for each in HANDLED] == before


def test_the_second_ctrl_c_ends_at_once(tmp_path: Path, signalled: Callable[..., None]) -> None:
    signalled(11, signal.SIGINT, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path)
    newest = Checkpoints(tmp_path / "checkpoints", keep=2).newest()
    assert newest is not None and newest.name == "step-00000008"


def test_with_nothing_to_save_it_ends_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "read_caches", lambda *_: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(Interrupted, match=r"stopped by SIGTERM, between two steps; the last checkpoint is intact"):
        train(tmp_path)


def test_other_threads_train_without_handlers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "draw_curve", lambda entries, path: False)
    thread = threading.Thread(target=train, args=[tmp_path])
    thread.start()
    thread.join()
    assert (tmp_path / "metrics.json").exists()


def test_what_is_ignored_stays_ignored(tmp_path: Path, signalled: Callable[..., None]) -> None:
    """As after `nohup`, or in the background of a script."""
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        signalled(3, signal.SIGUSR1)
        assert train(tmp_path).metrics
        assert signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.faults("F5")
def test_the_command_line(tmp_path: Path) -> None:
    """With worker processes, none of which may stay."""
    config, rows = made_up.seldom_saved()
    config["training"] |= {"workers": 1, "epochs": 40}
    for split, each in rows.items():
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in each))
    config["data"] = {split: f"{split}.jsonl" for split in rows}
    (tmp_path / "shop.yaml").write_text(json.dumps(config))
    command = [sys.executable, "-m", "mmsdk", "train", "shop.yaml", "--json"]
    running = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    run = tmp_path / "runs" / "shop"
    while len(entries(run)) < 10:
        assert running.poll() is None
        time.sleep(0.01)
    children = _children(running.pid)
    running.terminate()
    stdout, stderr = running.communicate(timeout=SECONDS)
    assert running.returncode == 85
    assert "runs/shop: stopped by SIGTERM, after" in stderr and "--resume" in stderr and "Traceback" not in stderr
    assert "stopped by SIGTERM" in json.loads(stdout)["error"]
    assert children and not any(Path(f"/proc/{child}").exists() for child in children)
    assert not (run / "pipeline").exists()


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task")
    if not tasks.is_dir():
        pytest.skip("there is no /proc to look for orphans in")
    return [int(child) for task in os.listdir(tasks) for child in (tasks / task / "children").read_text().split()]


def test_a_signal_that_comes_while_processes_agree_waits_for_the_next_step(tmp_path: Path) -> None:
    """Else this process would save a checkpoint, for which it needs the others, which take another step."""
    interruption = Interruption(tmp_path, print)

    def adding(own: torch.Tensor, how: str) -> torch.Tensor:
        total = own.clone()  # of both processes; the other one was not asked
        interruption.asked = "SIGINT"
        return total

    device = torch.device("cpu")
    assert interruption.agreed(adding, 2, device) is False
    assert interruption.agreed(adding, 2, device) is True
