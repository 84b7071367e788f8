"""Whatever a config holds: it is read or refused with a place, and nothing is run, imported, fetched or written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.tally import Tally

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).parent / "programs" / "configs.py"
AT_ONCE = 20_000
SECONDS, MEMORY = 1.0, 200 * 2**20


@pytest.mark.slow
@pytest.mark.faults("A1")
@pytest.mark.timeout(7200)
def test_configs_of_strangers(tmp_path: Path, tally: Tally) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    count = tally.size(2_000, 200_000)
    outcomes = set()
    for first in range(0, count, AT_ONCE):
        last = min(first + AT_ONCE, count)
        command = [sys.executable, PROGRAM, str(first), str(last), tmp_path]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=3600)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        for line in lines:
            with tally.case(f"{line['number']} ({line['kind']})"):
                assert line["outcome"] in ("read", "refused"), line["outcome"]
                assert line["seen"] == []
                assert line["seconds"] < SECONDS and line["gained"] < MEMORY
                tally.figure("slowest", line["seconds"])
                tally.figure("megabytes", line["gained"] / 2**20)
                outcomes.add((line["kind"], line["outcome"]))
        with tally.case(f"the process lives after {last}"):
            assert len(lines) == last - first, done.stderr[-1000:]
    assert {("tree", "read"), ("tree", "refused"), ("text", "refused"), ("bomb", "refused")} <= outcomes
