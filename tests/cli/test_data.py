from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from mmsdk.cli import main


@pytest.fixture
def mmsdk(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command line: (exit code, stdout, stderr)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mmsdk", *map(str, arguments)])
        monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


def table(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "t.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_text_for_people(mmsdk: Any, tmp_path: Path) -> None:
    rows = [{"id": n, "q": f"is it {n}?", "label": f"l{n % 20:02}", "split": "train"} for n in range(1500)]
    rows += [{"id": -n, "q": f"is it not {n}?" if n else "is it 0?", "split": "test"} for n in range(500)]
    code, out, err = mmsdk("data", table(tmp_path, rows))
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert code == 0 and err == ""
    assert lines[0].endswith("t.jsonl: 2,000 rows")
    assert "label category 20 different missing in 25.0%" in lines
    assert "train 1,500 75.0%" in lines and "test 500 25.0%" in lines
    assert "l00 75 (5.0%) 0 (0.0%)" in lines and "8 others 600 (40.0%) 0 (0.0%)" in lines
    assert "q 1 of 500 in 'test' are in 'train', too" in lines
    assert "ids that repeat an earlier one" not in out
    assert lines[-1] == "no problems found"


def test_json_for_programs(mmsdk: Any, tmp_path: Path) -> None:
    code, out, _ = mmsdk(
        "data", table(tmp_path, [{"x": 1.5, "part": "a"}]), "--json", "--split-column", "part", "--label", "x"
    )
    report = json.loads(out)
    assert code == 0
    assert list(report)[:5] == ["file", "rows", "columns", "splits", "labels"]
    assert report["splits"] == {"a": 1} and report["labels"] == {"x": {"a": {"1.5": 1}}}


def test_problems_give_exit_code_1(mmsdk: Any, tmp_path: Path) -> None:
    rows = [{"id": f"s{n}", "x": n % 4, "image": "no.png", "split": "train" if n < 4 else "test"} for n in range(6)]
    code, out, _ = mmsdk("data", table(tmp_path, rows))
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert code == 1
    assert "6 values cannot be read" in lines
    assert any(
        line.startswith("2 of 2 different rows in 'test' are in 'train', too, such as s0 = s4: take") for line in lines
    )
    assert f"s0 and 5 more image there is no file '{tmp_path / 'no.png'}'" in lines
    assert "no problems" not in out
    code, out, _ = mmsdk("data", table(tmp_path, rows), "--json")
    assert code == 1 and len(json.loads(out)["problems"]) == 3


def test_an_empty_table_is_an_error_without_a_traceback(mmsdk: Any, tmp_path: Path) -> None:
    code, out, err = mmsdk("data", table(tmp_path, []))
    assert code == 1 and out == "" and err.endswith("there are no samples in this file\n")


def test_text_in_the_data_cannot_drive_the_terminal(mmsdk: Any, tmp_path: Path) -> None:
    code, out, _ = mmsdk("data", table(tmp_path, [{"\x1b[2J": 1, "label": "\x1b[31m\ud800"}] * 4))
    assert code == 0 and "\x1b" not in out and "\\x1b[31m\\ud800" in out


def test_shares_are_never_rounded_to_none_or_all(mmsdk: Any, tmp_path: Path) -> None:
    rows = [{"n": n, "split": "test" if n == 0 else "train"} for n in range(3000)]
    _, out, _ = mmsdk("data", table(tmp_path, rows))
    assert "< 0.1%" in out and "> 99.9%" in out
