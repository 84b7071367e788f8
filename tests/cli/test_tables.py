"""Commands that take a file take shards of any kind, and say the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import mmsdk
from mmsdk.data.samples import as_row
from mmsdk.pipeline.modalities import Modalities
from tests import shards
from tests.cli.test_predict import CONFIG, sample

ROWS = [sample(number) for number in range(150)]
ROWS[7] |= {"numbers": ["none", 1.0]}  # cannot be read
ROWS[8] = {"id": "r8", "y": 1}  # has no stream
MATCH = {"type": "contrastive", "reads": ["words", "numbers"], "width": 8}
READABLE = ROWS[:7] + ROWS[9:]


def as_text(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Numbers as text, as a column of a table is of one type."""
    return [row | ({"numbers": [str(each) for each in row["numbers"]]} if "numbers" in row else {}) for row in rows]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = mmsdk.load_config(CONFIG | {"heads": CONFIG["heads"] | {"pair": MATCH}})
    rows = [as_row(row, row["id"]) for row in READABLE]
    torch.manual_seed(0)
    pipeline = mmsdk.Pipeline(config, Modalities(config).fit(lambda: rows))
    return pipeline.eval().save(tmp_path_factory.mktemp("saved") / "run")


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".tar"])
def test_shards_in_the_place_of_a_file(cli: Callable[..., Any], run: Path, tmp_path: Path, suffix: str) -> None:
    text = shards.as_jsonl(tmp_path / "rows.jsonl", READABLE)
    pattern = shards.in_shards(tmp_path / "shards", READABLE, suffix)
    found = []
    for path in (text, pattern):
        out = tmp_path / path.suffix[1:]
        out.mkdir()
        assert cli("predict", run, "--input", path, "--output", out / "p.jsonl").exit_code == 0
        assert cli("embed", run, "--data", path, "--out", out / "e").exit_code == 0
        measured = cli("evaluate", run, "--data", path, "--json")
        assert measured.exit_code == 0, measured.stderr
        figures = {name.partition("/")[2]: value for name, value in json.loads(measured.stdout)["metrics"].items()}
        vectors = {file.name: load_file(file)["vectors"].tolist() for file in sorted((out / "e").glob("*.safetensors"))}
        found.append(((out / "p.jsonl").read_text(), (out / "e" / "ids.json").read_text(), vectors, figures))
    assert found[0] == found[1] and len(found[0][0].splitlines()) == len(READABLE) and found[0][2] and found[0][3]


@pytest.mark.parametrize("suffix", [".parquet", ".tar"])
def test_what_cannot_be_used_in_shards(cli: Callable[..., Any], run: Path, tmp_path: Path, suffix: str) -> None:
    path = shards.in_shards(tmp_path, as_text(ROWS), suffix)
    ended = cli("predict", run, "--input", path, "--output", tmp_path / "p.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert ended.exit_code == 1 and [line["id"] for line in lines] == [row["id"] for row in ROWS]
    assert "error" in lines[7] and lines[7]["error"] in ended.stderr
    looked = cli("data", path, "--json")
    report = json.loads(looked.stdout)
    assert report["rows"] == 150 and report["columns"]["words"]["missing"] == pytest.approx(1 / 150)


@pytest.mark.parametrize("suffix", [".parquet", ".tar"])
def test_going_on_with_shards(cli: Callable[..., Any], run: Path, tmp_path: Path, suffix: str) -> None:
    path = shards.in_shards(tmp_path / "shards", READABLE, suffix)
    out = tmp_path / "p.jsonl"
    assert cli("predict", run, "--input", path, "--output", out).exit_code == 0
    whole = out.read_text()
    out.write_text("".join(whole.splitlines(keepends=True)[:40]) + '{"id": "half')
    whose = {"pipeline": mmsdk.Pipeline.load(run).fingerprint()}
    (tmp_path / "p.jsonl.unfinished").write_text(json.dumps(whose))
    assert cli("predict", run, "--input", path, "--output", out, "--resume").exit_code == 0
    assert out.read_text() == whole


def test_shards_that_are_cut_off(cli: Callable[..., Any], run: Path, tmp_path: Path) -> None:
    path = shards.as_tar(tmp_path / "a.tar", ROWS)
    path.write_bytes(path.read_bytes()[:9000])
    ended = cli("predict", run, "--input", path)
    assert ended.exit_code != 0 and "a.tar: truncated or damaged after" in ended.stderr and not ended.stdout
    (tmp_path / "b.parquet").write_bytes(b"PAR1")
    ended = cli("embed", run, "--data", tmp_path / "b.parquet", "--out", tmp_path / "e")
    assert ended.exit_code != 0 and "b.parquet: truncated" in ended.stderr and not (tmp_path / "e").exists()
