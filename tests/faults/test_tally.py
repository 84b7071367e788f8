"""The counting itself: what is lost must not go unseen."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.table import PAGE, RESULTS, page, results
from tests.faults.tally import Tally

TESTS = """
import pytest

@pytest.mark.faults("F1")
def test_cases(tally):
    for number in range(tally.size(3, 30)):
        with tally.case(number):
            tally.figure("seconds", number)
            assert number != 1
            if number == 2:
                pytest.skip("no such device")

@pytest.mark.faults("F1")
def test_whole(): pass

@pytest.mark.faults("F2")
def test_outside_of_its_cases(tally): raise KeyError

@pytest.mark.faults("F3")
def test_nothing(tally): pass

@pytest.mark.faults("F10")
@pytest.mark.parametrize("number", [1, 2])
def test_each(number): pass

@pytest.mark.faults("F10")
def test_impossible(): pytest.skip("no such disk")
"""


def test_one_line_for_each_fault(tmp_path: Path) -> None:
    (tmp_path / "test_them.py").write_text(TESTS)
    options = ["-p", "tests.faults.tally", "-q", "--rootdir", str(tmp_path), "-W", "ignore", "-c", "/dev/null"]
    command = [sys.executable, "-m", "pytest", *options, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], timeout=60)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"id"')]
    assert [[each[key] for key in ("id", "tried", "survived", "lost")] for each in lines] == [
        ["F1", 3, 2, 1],
        ["F2", 1, 0, 1],
        ["F3", 1, 0, 1],
        ["F10", 2, 2, 0],
    ]
    assert lines[0]["seconds"] == 2 and lines[0]["skipped"] == ["2: no such device"]
    assert "no such disk" in lines[3]["skipped"][0]
    assert "1 of 2 lost" in done.stdout and "nothing was tried" in done.stdout
    assert "3 failed, 3 passed, 1 skipped" in done.stdout


def test_a_loss_does_not_stop_the_others() -> None:
    tally = Tally("F0")
    for number in range(4):
        with tally.case(number):
            if number % 2:
                pytest.fail("odd")
    assert tally.tried == 4 and tally.lost == ["1: Failed: odd", "3: Failed: odd"]


def test_lines_of_one_fault_are_added_up() -> None:
    lines = [
        {
            "id": "F1",
            "size": "full",
            "tried": 10,
            "survived": 9,
            "lost": 1,
            "skipped": ["a"],
            "most": 2,
            "killed_in": 3,
        },
        {"id": "F1", "size": "full", "tried": 5, "survived": 5, "lost": 0, "skipped": ["b"], "most": 1, "killed_in": 4},
    ]
    (found,) = results("\n".join(["something else", *map(json.dumps, lines)]))
    added = {"tried": 15, "survived": 14, "lost": 1, "skipped": ["a", "b"], "most": 2, "killed_in": 7}
    assert found == {"id": "F1", "size": "full", **added}


def test_the_page_shows_the_results() -> None:
    """Otherwise: python -m tests.faults.table"""
    assert page(PAGE.read_text(), results(RESULTS.read_text())) == PAGE.read_text()
