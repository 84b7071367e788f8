"""`mmsdk predict` of files: resumed after a cut, refused for something else, in constant memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import mmsdk
from mmsdk.cli import results
from mmsdk.data.samples import as_row
from mmsdk.pipeline.modalities import Modalities

Cli = Callable[..., Any]
CONFIG: dict[str, Any] = {
    "streams": {
        "words": {"modality": "text", "encoder": {"type": "bag", "width": 8}},
        "numbers": {"modality": "features", "encoder": {"type": "mlp", "width": 8}},
    },
    "fusion": {"type": "concat", "width": 8},
    "heads": {"y": {"type": "classification", "target": "y"}},
}


def sample(number: int) -> dict[str, Any]:
    return {"id": f"r{number}", "words": f"w{number % 7} and more", "numbers": [number % 3, 1.0], "y": number % 2}


def saved(folder: Path, seed: int = 0) -> Path:
    config = mmsdk.load_config(CONFIG)
    rows = [as_row(sample(number), str(number)) for number in range(20)]
    torch.manual_seed(seed)
    return mmsdk.Pipeline(config, Modalities(config).fit(lambda: rows)).eval().save(folder)


def table(path: Path, rows: int) -> Path:
    with path.open("w") as file:
        file.writelines(json.dumps(sample(number)) + "\n" for number in range(rows))
    return path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return saved(tmp_path / "run")


@pytest.fixture
def cut(cli: Cli, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results of which 64 are there, and half a line; as a kill leaves them."""
    out, write = tmp_path / "out.jsonl", results.ResultFile.write

    def dying(self: results.ResultFile, line: str) -> None:
        if line.startswith('{"id": "r64"'):
            self.file.write(line[:20])
            self.file.flush()
            raise KeyboardInterrupt
        write(self, line)

    monkeypatch.setattr(results.ResultFile, "write", dying)
    cli("predict", run, "--input", table(tmp_path / "in.jsonl", 150), "--output", out)
    monkeypatch.undo()
    assert len(out.read_text().splitlines()) == 65 and not out.read_text().endswith("\n")
    return out


def test_it_goes_on_where_it_was_cut_off(cli: Cli, run: Path, tmp_path: Path, cut: Path) -> None:
    done = cli("predict", run, "--input", tmp_path / "in.jsonl", "--output", cut, "--resume")
    assert done.exit_code == 0 and "150 results" in done.stdout
    whole = tmp_path / "whole.jsonl"
    assert cli("predict", run, "--input", tmp_path / "in.jsonl", "--output", whole).exit_code == 0
    one, other = ([json.loads(line) for line in path.read_text().splitlines()] for path in (cut, whole))
    assert [line["id"] for line in one] == [f"r{number}" for number in range(150)]
    for line, twin in zip(one, other, strict=True):
        assert line["y"]["value"] == twin["y"]["value"]
        assert line["y"]["confidence"] == pytest.approx(twin["y"]["confidence"], abs=1e-5)
    assert sorted(path.name for path in tmp_path.glob("*.unfinished")) == []


def test_what_cannot_be_gone_on_with_is_told(cli: Cli, run: Path, tmp_path: Path, cut: Path) -> None:
    def refused(*arguments: object, run: Path = run) -> str:
        before = cut.read_bytes()
        done = cli("predict", run, *arguments)
        assert done.exit_code == 1 and cut.read_bytes().startswith(before[: before.rfind(b"\n") + 1])
        return str(done.stderr)

    rows = tmp_path / "in.jsonl"
    other = saved(tmp_path / "other", seed=1)
    assert "begun with another pipeline" in refused("--input", rows, "--output", cut, "--resume", run=other)
    turned = tmp_path / "turned.jsonl"
    turned.write_text("\n".join(reversed(rows.read_text().splitlines())))
    said = refused("--input", turned, "--output", cut, "--resume")
    assert f"{cut}:1 is the result of 'r0', but {turned} has 'r149' there" in said
    short = table(tmp_path / "short.jsonl", 3)
    assert f"{cut}:4 is the result of 'r3', but {short} ends before" in refused(
        "--input", short, "--output", cut, "--resume"
    )
    assert "give its --output" in refused("--input", rows, "--resume")


def test_resume_may_stand_in_every_script(tmp_path: Path, cli: Callable[..., Any]) -> None:
    """Where nothing was begun it begins; where all is done it says so, and changes nothing."""
    run, rows, out = saved(tmp_path / "run"), table(tmp_path / "in.jsonl", 50), tmp_path / "out.jsonl"
    command = ["predict", run, "--input", rows, "--output", out, "--resume", "--json"]
    first = cli(*command)
    assert first.exit_code == 0, first.stderr
    whole = out.read_text()
    again = cli(*command)
    assert again.exit_code == 0 and json.loads(again.stdout) == json.loads(first.stdout)
    assert json.loads(again.stdout) == {"samples": 50, "errors": 0, "output": str(out)} and out.read_text() == whole
    assert "is whole: there is nothing left to do" in cli(*command[:-1]).stdout
    out.write_text("no results\n")
    broken = cli(*command)
    assert broken.exit_code == 1 and "no file of results" in broken.stderr


MEASURED = """
import sys
from pathlib import Path
from mmsdk.cli.predict import command
folder, source, out = map(Path, sys.argv[1:])
command(folder, [], source, out, None, False, None, "float32", "auto", False)
(line,) = (each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith("VmHWM:"))
print(line.split()[1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_memory_does_not_grow_with_the_file(run: Path, tmp_path: Path) -> None:
    peaks = []
    for rows in (2_000, 20_000):
        arguments = [str(run), str(table(tmp_path / f"{rows}.jsonl", rows)), str(tmp_path / f"out-{rows}.jsonl")]
        command = [sys.executable, "-c", MEASURED, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout.splitlines()[-1]))
        assert len((tmp_path / f"out-{rows}.jsonl").read_text().splitlines()) == rows
    assert peaks[1] < 1.05 * peaks[0]
