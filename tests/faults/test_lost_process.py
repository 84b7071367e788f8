"""F6: one of two processes dies: the other one ends, too, says which one it was, and the run goes on later."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mmsdk.errors import TrainingError
from mmsdk.training import processes
from mmsdk.training.processes import Peer, together
from tests.faults.tally import Tally
from tests.programs import stopping

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.faults("F6")
def test_one_of_two_is_killed(tally: Tally, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-m", stopping.__name__, str(tmp_path), "--processes", "2", "--kill"]
    command += ["--signals", str(tally.size(3, 20))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1700)
    assert done.returncode == 0, done.stderr
    *kills, end = map(json.loads, done.stdout.splitlines())
    told = re.findall(r"TrainingError: .*: process (\d) \(pid .*\) of 2 has ended, so process (\d) cannot", done.stderr)
    assert len(told) == len(kills)
    for found, (ended, other) in zip(kills, told, strict=True):
        with tally.case(found):
            assert found["codes"][found["rank"]] == -9 and found["codes"][1 - found["rank"]] == 1
            assert (int(ended), int(other)) == (found["rank"], 1 - found["rank"])
            assert found["seconds"] < 30
            tally.figure("most_seconds", round(found["seconds"], 2))
    assert end["same"]


def test_who_is_gone(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    host = os.uname().nodename
    assert Peer(1, host, child.pid).ended()
    assert not Peer(0, host, os.getpid()).ended() and not Peer(2, f"not-{host}", child.pid).ended()

    def gathered(own: list[Any]) -> list[Any]:
        return [*own, Peer(1, host, child.pid)]

    with (
        pytest.raises(TrainingError, match=rf"process 1 \(pid {child.pid} .*\) of 2 has ended, .* --resume"),
        together(tmp_path, 0, 2, gathered),
    ):
        raise RuntimeError("Connection closed by peer")


def test_errors_of_others_stay_what_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "SECONDS", 0.2)
    for count in (1, 2):
        with pytest.raises(RuntimeError, match="of a plugin"), together(tmp_path, 0, count, list):
            raise RuntimeError("of a plugin")
