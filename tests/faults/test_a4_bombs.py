"""Small things that are huge once they are opened: refused before memory is taken, or read at no cost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.tally import Tally

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).parent / "programs" / "bombs.py"
MEMORY, SECONDS = 100 * 2**20, 5.0
REFUSED = {413, 422}
READ = (
    "of one word",
    "a million tokens",
    "of spaces",
    "on one letter",
    "half characters",
    "claims 4 GB",
    "word of 10 MB",
)
"""What is no error: of a long text the beginning is read, and of a sound as much as there is."""


def judged(line: dict[str, Any]) -> None:
    name, outcome = line["name"], line["outcome"]
    if any(words in name for words in READ):
        assert outcome == 200 or str(outcome).startswith("read: "), outcome
    else:
        assert outcome in REFUSED or str(outcome).startswith("refused: "), outcome
    assert line["gained"] < MEMORY, f"{line['gained']:,} bytes"
    assert line["seconds"] < SECONDS, f"{line['seconds']:.1f} seconds"


@pytest.mark.slow
@pytest.mark.faults("A4")
def test_bombs(tmp_path: Path, tally: Tally) -> None:
    for name in ("mmsdk_serve", "mmsdk_speech", "mmsdk_video"):
        pytest.importorskip(name)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, PROGRAM, tmp_path], env=environment, capture_output=True, text=True, timeout=500
    )
    control, *lines = map(json.loads, done.stdout.splitlines())
    if control["gained"] < MEMORY:  # 320 MB were taken
        pytest.skip("this system does not tell how much memory a process takes")
    for line in lines:
        with tally.case(line["name"]):
            judged(line)
            tally.figure("slowest", line["seconds"])
            tally.figure("megabytes", line["gained"] / 2**20)
    with tally.case("the process lives"):
        assert done.returncode == 0, done.stderr[-1000:]
    assert tally.tried > 25
