"""Embeddings: one sample after the other as all at once; of a file as a folder; what tells pipelines apart."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import mmsdk
from mmsdk import ConfigError, DataError, DecodeError, Skipped
from mmsdk.data.samples import Row
from mmsdk.folders import MANIFEST, open_folder

from .test_pipeline import HEADS, ROWS, build, config

BAD = {"id": "bad", "vector": ["x"]}


def test_one_after_the_other_is_as_all_at_once() -> None:
    pipeline = build().eval()
    every = pipeline.embed(ROWS)
    for batch_size in (1, 2, 64):
        found = list(pipeline.embed_each(iter(ROWS), batch_size=batch_size))
        assert [each.id for each in found] == [f"sample[{number}]" for number in range(len(ROWS))]
        assert [dict(each.values) for each in found] == ROWS
        for source, vectors in every.items():
            for row, each in zip(vectors, found, strict=True):
                assert torch.allclose(each.vectors.get(source, torch.zeros(4)), row, atol=1e-6)
                assert (source in each.vectors) == bool(row.any())


def test_samples_are_asked_for_as_they_are_needed() -> None:
    taken: list[int] = []
    samples = ({"word": "red", "n": taken.append(number)} for number in range(1000))
    stream = build().embed_each(samples, batch_size=8)
    for _ in range(9):
        next(stream)
    assert len(taken) == 128  # a window


def test_what_cannot_be_read_is_raised_or_listed() -> None:
    pipeline = build()
    with pytest.raises(DecodeError, match="sample 'bad': 'vector'"):
        list(pipeline.embed_each([ROWS[0], BAD]))
    skipped: list[DecodeError] = []
    found = list(pipeline.embed_each([ROWS[0], BAD, ROWS[1]], skipped=skipped))
    assert [each.id for each in found] == ["sample[0]", "sample[2]"] and [each.sample for each in skipped] == ["bad"]
    with pytest.raises(ConfigError, match=r"There is no head 'y' that gives any.*'near'"):
        next(pipeline.embed_each(ROWS, head="y"))


def test_so_many_may_be_left_out() -> None:
    error = DecodeError("it is broken", sample="a", stream="image")
    for rows, most in ((5, 10), (10_999, 10), (20_000, 20)):
        skipped = Skipped(rows)
        for _ in range(most):
            skipped.append(error)
        message = (
            f"{most + 1} of {rows} samples cannot be read, the budget is {most}; the last one: sample 'a': 'image'"
        )
        with pytest.raises(DataError, match=message):
            skipped.append(error)


def test_paths_can_be_opened_from_anywhere() -> None:
    streams = {"image": {"modality": {"type": "image", "size": 8}, "encoder": {"type": "cnn", "width": 8, "layers": 1}}}
    heads = {"near": {"type": "contrastive", "reads": ["image", "twin"]}}
    streams["twin"] = {"shared_with": "image"}  # type: ignore[dict-item]
    pipeline = mmsdk.Pipeline.from_config({"streams": streams, "heads": heads})
    (each,) = pipeline.embed_each([Row("a", {"note": "b.png", "twin": None}, Path("/data"))])
    assert each.values == {"note": "b.png", "twin": None} and each.vectors == {}
    skipped: list[DecodeError] = []
    assert list(pipeline.embed_each([Row("a", {"image": "b.png"}, Path("/data"))], skipped=skipped)) == []
    assert "/data/b.png" in str(skipped[0])


def test_a_fingerprint_tells_pipelines_apart(tmp_path: Path) -> None:
    pipeline = build().eval()
    told = pipeline.fingerprint()
    assert mmsdk.Pipeline.load(pipeline.save(tmp_path / "a", {"test/y/accuracy": 0.5})).fingerprint() == told
    others = [build(config(heads=HEADS | {"near": HEADS["near"] | {"loss": "siglip"}})), build(), build()]
    with torch.no_grad():
        next(others[1].parameters()).view(-1)[0] += 1e-6
    vocabulary = others[2].modalities.streams["word"]
    vocabulary.restore(json.loads(json.dumps(vocabulary.state()).replace("green", "olive")))
    assert len({told, *(each.fingerprint() for each in others)}) == 4


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return build().eval().save(tmp_path / "saved")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """More rows than a batch has, with ids that JSON has to escape."""
    rows = [{"id": f'"{number}é', **ROWS[number % len(ROWS)]} for number in range(150)]
    path = tmp_path / "table.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_file_becomes_a_folder(cli: Callable[..., Any], saved: Path, table: Path, tmp_path: Path) -> None:
    answered = cli("embed", saved, "--data", table, "--out", tmp_path / "out", "--json")
    assert answered.exit_code == 0 and not answered.stderr
    sources = {"word": {"width": 4, "absent": 30}, "vector": {"width": 4, "absent": 30}}
    told = {"embeddings": str(tmp_path / "out"), "rows": 150, "sources": sources, "skipped": []}
    assert json.loads(answered.stdout) == told
    folder = open_folder(tmp_path / "out")
    assert {path.name for path in folder.iterdir()} == {
        "embeddings.json", "ids.json", "word.safetensors", "vector.safetensors", "bad_samples.jsonl", MANIFEST,
    }  # fmt: skip
    rows = list(mmsdk.read_rows(table))
    assert json.loads((folder / "ids.json").read_text()) == [row.id for row in rows]
    pipeline = mmsdk.Pipeline.load(saved)
    for source, vectors in pipeline.embed([row.values for row in rows]).items():
        kept = load_file(folder / f"{source}.safetensors")["vectors"]
        assert kept.dtype == torch.float32 and torch.allclose(kept, vectors, atol=1e-6)
    header = json.loads((folder / "embeddings.json").read_text())
    assert header["pipeline"] == pipeline.fingerprint() and header["rows"] == 150 and header["head"] == "near"


def test_the_folder_is_called_after_the_file(
    cli: Callable[..., Any], saved: Path, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "150 rows in embeddings/table, 0 left out" in cli("embed", saved, "--data", table).stdout
    refused = cli("embed", saved, "--data", table)
    assert (refused.exit_code, "embeddings/table exists: choose another --out" in refused.stderr) == (1, True)


def test_bad_rows_are_listed(cli: Callable[..., Any], saved: Path, table: Path, tmp_path: Path) -> None:
    table.write_text(json.dumps(BAD) + "\n" + table.read_text())
    out = tmp_path / "out"
    refused = cli("embed", saved, "--data", table, "--out", out)
    assert refused.exit_code == 1 and "error: sample 'bad': 'vector'" in refused.stderr and not out.exists()
    answered = cli("embed", saved, "--data", table, "--out", out, "--on-error", "skip")
    assert answered.exit_code == 0 and answered.stderr.startswith("left out: sample 'bad': 'vector'")
    assert "150 rows" in answered.stdout and "1 left out" in answered.stdout
    (line,) = (out / "bad_samples.jsonl").read_text().splitlines()
    assert json.loads(line)["id"] == "bad" and len(json.loads((out / "ids.json").read_text())) == 150
    table.write_text("".join(json.dumps(BAD | {"id": str(number)}) + "\n" for number in range(11)))
    refused = cli("embed", saved, "--data", table, "--out", tmp_path / "none", "--on-error", "skip")
    assert refused.exit_code == 1 and "11 of 11 samples cannot be read, the budget is 10" in refused.stderr
    table.write_text("".join(json.dumps(BAD | {"id": str(number)}) + "\n" for number in range(3)))
    assert cli("embed", saved, "--data", table, "--out", tmp_path / "none", "--on-error", "skip").exit_code == 0
    assert load_file(tmp_path / "none/word.safetensors")["vectors"].shape == (0, 4)


def test_files_that_cannot_be_embedded(
    cli: Callable[..., Any], saved: Path, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table.write_text("")
    assert "there are no samples in this file" in cli("embed", saved, "--data", table).stderr
    table.write_text('{"word": "red"}\n{"word": \n')
    assert "table.jsonl:2: not JSON" in cli("embed", saved, "--data", table).stderr
    assert "there is no such file" in cli("embed", saved, "--data", tmp_path / "no.csv").stderr
    table.write_text('{"word": "red"}\n')
    assert "There is no head 'y' that gives any" in cli("embed", saved, "--data", table, "--head", "y").stderr
    assert cli("embed", saved).exit_code == 2
