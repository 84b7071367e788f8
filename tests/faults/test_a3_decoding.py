"""Damaged pictures, sounds, videos, texts, arrays and tables: each is read or refused; nothing else ever happens."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.tally import Tally

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).parent / "programs" / "decoding.py"
AT_ONCE, DEATHS = 50_000, 20
SECONDS, GROWTH = 2.0, 300 * 2**20


def decoded(first: int, last: int) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, PROGRAM, str(first), str(last)]
    return subprocess.run(
        command, env=environment, capture_output=True, encoding="utf-8", errors="replace", timeout=900
    )


@pytest.mark.faults("A3")
@pytest.mark.timeout(3600)
def test_damaged_values(tally: Tally) -> None:
    for name in ("mmsdk_speech", "mmsdk_video"):
        pytest.importorskip(name)
    count = tally.size(5_000, 1_000_000)
    first = 0
    while first < count and len(tally.lost) < DEATHS:
        last = min(first + AT_ONCE, count)
        done = decoded(first, last)
        if done.returncode:  # it died of the last value that it named; the others are still to be read
            numbers = re.findall(r"^(\d+) (\w+)$", done.stderr, re.MULTILINE)
            assert numbers, done.stderr[-2000:]
            tally.lost.append(f"{' '.join(numbers[-1])}: {done.stderr.strip().splitlines()[-1]} ({done.returncode})")
            tally.tried += int(numbers[-1][0]) + 1 - first
            first = int(numbers[-1][0]) + 1
            continue
        told = json.loads(done.stdout.splitlines()[-1])
        assert all(read and refused for read, refused in told["counts"].values()), told  # neither is all there is
        assert sum(map(sum, told["counts"].values())) == last - first
        tally.tried += last - first
        tally.figure("slowest", told["slowest"])
        tally.figure("megabytes", told["peak"] / 2**20)
        assert told["slowest"] < SECONDS and told["peak"] < GROWTH, told
        first = last


def test_a_death_would_be_seen() -> None:
    """What the program does where a value is no DecodeError: it ends, and the value is named."""
    done = decoded(3, 3)
    assert done.returncode == 0 and json.loads(done.stdout)["counts"]["image"] == [0, 0]
    code = f"""
import sys, runpy
sys.path.insert(0, {str(PROGRAM.parent)!r})
sys.argv = ["decoding.py", "0", "9"]
import mmsdk.builtin.modalities.text as text
text.Text.prepare = lambda self, value: 1 / 0
runpy.run_path({str(PROGRAM)!r}, run_name="__main__")
"""
    bad = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert bad.returncode == 1 and "ZeroDivisionError" in bad.stderr
