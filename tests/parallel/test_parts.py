"""Files predicted and embedded by several processes: as by one; resumed by another number of them; refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from mmsdk.errors import CheckpointError, ConfigError, DataError, DecodeError
from mmsdk.folders import open_folder
from mmsdk.parallel import parts
from mmsdk.parallel import team as module
from mmsdk.parallel.embedding import write_embeddings
from mmsdk.parallel.parts import parts_folder
from mmsdk.parallel.prediction import predict_in_parts
from mmsdk.parallel.team import Team, team
from mmsdk.pipeline.pipeline import Pipeline
from tests.cli.test_predict import saved, table
from tests.parallel.test_team import together
from tests.test_pipeline import ROWS, build

Cli = Callable[..., Any]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    return Pipeline.load(saved(tmp_path_factory.mktemp("saved") / "run"))


def torchrun(*arguments: object) -> subprocess.CompletedProcess[str]:
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "mmsdk"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [*launch, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def require_same(path: Path, other: Path) -> None:
    assert [line["id"] for line in lines(path)] == [line["id"] for line in lines(other)]
    for line, twin in zip(lines(path), lines(other), strict=True):
        assert line.keys() == twin.keys()
        if "y" in line:
            assert line["y"]["value"] == twin["y"]["value"]
            assert line["y"]["confidence"] == pytest.approx(twin["y"]["confidence"], abs=1e-5)


def test_two_processes_write_what_one_writes(cli: Cli, tmp_path: Path) -> None:
    run, source = saved(tmp_path / "run"), table(tmp_path / "in.jsonl", 333)
    source.write_text(source.read_text() + '{"id": "empty"}\n')
    assert cli("predict", run, "--input", source, "--output", tmp_path / "one.jsonl").exit_code == 1
    done = torchrun("predict", run, "--input", source, "--output", tmp_path / "two.jsonl", "--json")
    assert json.loads(done.stdout) == {"samples": 334, "errors": 1, "output": str(tmp_path / "two.jsonl")}
    assert done.returncode == 1 and done.stderr.count("error: empty: every stream is absent") == 1
    require_same(tmp_path / "two.jsonl", tmp_path / "one.jsonl")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "one.jsonl", "run", "two.jsonl"]


def test_an_error_ends_all_processes_and_is_told_once(tmp_path: Path) -> None:
    run, source = saved(tmp_path / "run"), table(tmp_path / "in.jsonl", 300)
    source.write_text(source.read_text() + "{\n")
    done = torchrun("predict", run, "--input", source, "--output", tmp_path / "out.jsonl")
    assert done.returncode == 1 and done.stderr.count(f"error: {source}:301: not JSON") == 1
    assert done.stderr.count("Traceback") <= 1, "that of the launcher"
    assert not (tmp_path / "out.jsonl").exists() and parts_folder(tmp_path / "out.jsonl").is_dir()


def predict(pipeline: Pipeline, source: Path, output: Path, ours: Team, resume: bool = False) -> tuple[int, int]:
    with team(ours):
        return predict_in_parts(pipeline, source, output, ours, resume=resume)


def stopping(after: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The parts that are made; the one after so many is where all end."""
    begun: list[str] = []
    write = parts.flush

    def counted(aside: Path) -> None:
        if len(begun) == after:
            raise KeyboardInterrupt
        begun.append(aside.name.removeprefix(".writing-"))
        write(aside)

    monkeypatch.setattr(parts, "flush", counted)
    monkeypatch.setattr(module, "GRACE", 0.0)
    return begun


def test_any_number_of_processes_goes_on_with_what_others_began(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = table(tmp_path / "in.jsonl", 700), tmp_path / "out.jsonl"
    with monkeypatch.context() as patch:
        began = stopping(5, patch)
        ends = together(partial(predict, pipeline, source, out), processes=3)
        assert any(isinstance(end, KeyboardInterrupt) for end in ends) and not out.exists()
    (parts_folder(out) / ".writing-00000000-0").write_text('{"id": "half a li')
    source.write_text(source.read_text().replace('"id": "r3", "words": "w3', '"id": "r3", "words": "w4'))
    made = stopping(99, monkeypatch)
    assert together(partial(predict, pipeline, source, out, resume=True), processes=2) == [(700, 0)] * 2
    assert len(made) == 11 - 5 + any(name.startswith("00000000") for name in began), (
        "and the one whose rows have changed"
    )
    assert not set(made) & set(began)
    predict(pipeline, source, tmp_path / "one.jsonl", Team())
    require_same(out, tmp_path / "one.jsonl")
    with pytest.raises(ConfigError, match="is whole, there is nothing left to do"):
        predict(pipeline, source, out, Team(), resume=True)


def test_what_cannot_be_gone_on_with_is_told(cli: Cli, pipeline: Pipeline, tmp_path: Path, monkeypatch: Any) -> None:
    source, out = table(tmp_path / "in.jsonl", 200), tmp_path / "out.jsonl"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stopping(1, patch)
        predict(pipeline, source, out, Team(), resume=True)  # where nothing was begun, it begins
    run, other = pipeline.save(tmp_path / "run"), saved(tmp_path / "other", seed=1)
    refused = cli("predict", other, "--input", source, "--output", out, "--resume")
    assert refused.exit_code == 1 and "was begun with another pipeline: take that one" in refused.stderr
    went_on = cli("predict", run, "--input", source, "--output", out, "--resume")
    assert "200 results" in went_on.stdout and not parts_folder(out).exists()
    parts_folder(out).mkdir()
    assert cli("predict", run, "--input", source, "--output", out).exit_code == 0
    assert not parts_folder(out).exists(), "who begins anew leaves nothing stale"
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(module, "_started", lambda: Team(processes=2))
    monkeypatch.setattr(module, "GRACE", 0.0)
    assert "Several processes share a file" in cli("predict", run, "words=a").stderr


def embed(pipeline: Pipeline, source: Path, folder: Path, ours: Team, **options: Any) -> Any:
    with team(ours):
        return write_embeddings(pipeline, source, folder, ours, **options)


@pytest.fixture
def few(tmp_path: Path) -> Path:
    rows = [{"id": f'"{number}é', **ROWS[number % len(ROWS)]} for number in range(300)]
    rows[70] = rows[299] = {"id": "bad", "vector": ["x"]}
    path = tmp_path / "table.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_embeddings_by_several_are_those_of_one(few: Path, tmp_path: Path) -> None:
    near = build().eval()
    files, left_out = embed(near, few, tmp_path / "one", Team(), skip=True)
    ends = together(partial(embed, near, few, tmp_path / "three", skip=True))
    assert files.rows == 298 and [error.sample for error in left_out] == ["bad", "bad"]
    assert ends[1:] == [None, None] and ends[0][0].rows == 298 and len(ends[0][1]) == 2
    one, three = open_folder(tmp_path / "one"), open_folder(tmp_path / "three")
    for name in ("ids.json", "embeddings.json", "bad_samples.jsonl"):
        assert (one / name).read_text() == (three / name).read_text()
    for source in ("word", "vector"):
        vectors = load_file(one / f"{source}.safetensors")["vectors"]
        assert torch.allclose(load_file(three / f"{source}.safetensors")["vectors"], vectors, atol=1e-6)
        assert ends[0][0].sources[source].absent == files.sources[source].absent > 0


def test_embeddings_are_gone_on_with(few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    near, out = build().eval(), tmp_path / "out"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stopping(2, patch)
        embed(near, few, out, Team(), skip=True)
    made = stopping(99, monkeypatch)
    files, left_out = embed(near, few, out, Team(), skip=True, resume=True)
    assert (len(made), files.rows, len(left_out)) == (3, 298, 2) and not parts_folder(out).exists()
    with pytest.raises(CheckpointError, match="out exists"):
        embed(near, few, out, Team())
    with pytest.raises(DecodeError, match="sample 'bad': 'vector'"):
        embed(near, few, tmp_path / "none", Team())


def test_all_together_leave_out_only_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE", 0.0)
    bad = [{"id": str(number), "vector": ["x"] if number % 20 == 0 else ROWS[0].get("vector")} for number in range(300)]
    path = tmp_path / "table.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in bad))
    ends = together(partial(embed, build().eval(), path, tmp_path / "out", skip=True))
    (error,) = (end for end in ends if isinstance(end, DataError))
    assert "of 300 samples cannot be read, the budget is 10" in str(error)
