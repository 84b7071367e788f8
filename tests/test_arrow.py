"""Parquet and Arrow files give what the same rows give as JSON lines."""

from __future__ import annotations

import json
import pickle  # noqa: TID251
import sys
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet
import pytest
from safetensors.torch import load_file

import mmsdk
from mmsdk.config.data import DataConfig, GroupBy
from mmsdk.data.arrow import ArrowTable
from mmsdk.data.grouping import load_samples
from mmsdk.data.inspection import inspect
from mmsdk.data.samples import open_rows, read_rows
from mmsdk.data.splits import load_splits
from mmsdk.data.tables import Table
from mmsdk.errors import DataError
from mmsdk.training import loop
from mmsdk.training.journal import Journal
from tests import shards, tables
from tests.programs import made_up

TRAIN, VALID = made_up.samples(33), made_up.samples(9, seed=1)
KINDS = (".parquet", ".arrow", ".feather")
"""Those of this module; tar shards share some of the tests."""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(loop, "draw_curve", lambda entries, path: None)


def outcome(run: Path) -> tuple[dict[str, bytes], Any]:
    """What has to be the same, bit for bit."""
    weights = load_file(run / "pipeline" / "model.safetensors")
    figures = json.loads((run / "metrics.json").read_text())["metrics"]
    return {name: tensor.numpy().tobytes() for name, tensor in weights.items()}, figures


def trained(folder: Path, data: dict[str, Any], name: str, **training: Any) -> tuple[dict[str, bytes], Any]:
    config = made_up.pipeline(lively=True, epochs=2, **training) | {"data": data}
    mmsdk.train(config, out=folder / name, show=False)
    return outcome(folder / name)


@pytest.fixture(scope="module")
def in_text(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], Any]:
    """What a training on JSON lines comes to."""
    folder = tmp_path_factory.mktemp("text")
    text = {"train": shards.as_jsonl(folder / "t.jsonl", TRAIN), "valid": shards.as_jsonl(folder / "v.jsonl", VALID)}
    return trained(folder, text, "run")


@pytest.mark.parametrize("suffix", [*KINDS, ".tar"])
def test_the_same_weights_as_of_json_lines(in_text: Any, tmp_path: Path, suffix: str) -> None:
    tables = {
        "train": shards.in_shards(tmp_path / "train", TRAIN, suffix),
        "valid": shards.WRITERS[suffix](tmp_path / f"v{suffix}", VALID),
    }
    assert isinstance(load_splits(DataConfig(**tables))["train"], Table)
    assert trained(tmp_path, tables, "tables") == in_text and in_text[1]


def test_the_same_weights_with_one_file_and_held_out_rows(tmp_path: Path) -> None:
    rows = [row | {"part": "valid" if place % 5 == 0 else "train"} for place, row in enumerate(TRAIN)]
    text, table = shards.as_jsonl(tmp_path / "r.jsonl", rows), shards.as_parquet(tmp_path / "r.parquet", rows)
    for name, how in (("column", {"split_column": "part"}), ("drawn", {"holdout": {"valid": 0.2}})):
        one, other = (
            trained(tmp_path, {"path": path, **how}, f"{name}{path.suffix}", group="text") for path in (text, table)
        )
        assert one == other


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_workers_read_tables_too(tmp_path: Path) -> None:
    data = {"train": shards.as_parquet(tmp_path / "t.parquet", TRAIN)}
    assert trained(tmp_path, data, "two", workers=2) == trained(tmp_path, data, "none")


def test_a_run_on_tables_can_be_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = {"train": shards.in_shards(tmp_path / "train", TRAIN, ".parquet")}
    whole = trained(tmp_path, data, "whole", checkpoint={"every": 1})
    step = Journal.step

    def stopping(journal: Journal, *arguments: Any) -> None:
        if journal.job.position.total == 7:
            raise KeyboardInterrupt
        step(journal, *arguments)

    config = made_up.pipeline(lively=True, epochs=2, checkpoint={"every": 1}) | {"data": data}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Journal, "step", stopping)
        mmsdk.train(config, out=tmp_path / "stopped", show=False)
    mmsdk.train(config, out=tmp_path / "stopped", resume=True, show=False)
    assert outcome(tmp_path / "stopped") == whole
    shards.as_parquet(tmp_path / "train" / "rows-00000.parquet", TRAIN[1:12])
    (tmp_path / "stopped" / "metrics.json").unlink()
    with pytest.raises(mmsdk.MmsdkError, match="the data has changed"):
        mmsdk.train(config, out=tmp_path / "stopped", resume=True, show=False)


def test_rows_by_place(tmp_path: Path) -> None:
    table = open_rows(shards.in_shards(tmp_path, TRAIN, ".parquet"))
    assert isinstance(table, ArrowTable) and len(table) == 33
    assert [row.id for row in table] == [row["id"] for row in TRAIN]
    for mine, other in zip(read_rows(tmp_path / "rows-*.parquet"), TRAIN, strict=True):
        assert {name: value for name, value in mine.values.items() if value is not None} == dict(other)
    assert table[-1].id == TRAIN[-1]["id"] and [row.id for row in table[1:3]] == [row["id"] for row in TRAIN[1:3]]
    with pytest.raises(IndexError):
        table[33]
    again = pickle.loads(pickle.dumps(table))  # noqa: S301
    assert again[5].values == table[5].values and again.fingerprint() == table.fingerprint()
    assert len(pickle.dumps(table)) < 5_000
    bare = open_rows(shards.as_parquet(tmp_path / "bare.parquet", [{"x": 1}, {"x": 2}]))
    assert bare[1].id == "bare.parquet:2" and bare[1].folder == tmp_path and "y" not in bare[1].values


def test_groups_of_rows(tmp_path: Path) -> None:
    rows = [{"talk": f"t{place % 3}", "place": -place, "word": f"w{place}"} for place in range(10)]
    by = GroupBy(key="talk", order="place")
    text = load_samples(DataConfig(path=shards.as_jsonl(tmp_path / "r.jsonl", rows)), by)["train"]
    table = load_samples(DataConfig(path=shards.as_parquet(tmp_path / "r.parquet", rows)), by)["train"]
    assert isinstance(table, Table) and [(row.id, row.values) for row in table] == [(r.id, r.values) for r in text]


def things(folder: Path) -> tuple[Path, Path]:
    """A table of paths, and one that holds the files themselves, with class labels."""
    rows = tables.things(folder, 24, split=True)
    for number, row in enumerate(rows):  # no two alike: equal contents are encoded once, equal paths are
        tables.picture(folder / row["picture"], (9 * number, 90, 255 - 9 * number))
        tables.tone(folder / row["sound"], 200 + 40 * number)
    features = datasets.Features(
        {
            "id": datasets.Value("string"),
            "picture": datasets.Image(),
            "sound": datasets.Audio(),
            "kind": datasets.ClassLabel(names=list(tables.COLOURS)),
            "split": datasets.Value("string"),
        }
    )
    inside = [
        {
            **{"id": row["id"], "split": row["split"], "kind": list(tables.COLOURS).index(row["kind"])},
            **{name: {"bytes": (folder / row[name]).read_bytes(), "path": row[name]} for name in ("picture", "sound")},
        }
        for row in rows
    ]
    pa.parquet.write_table(pa.Table.from_pylist(inside, schema=features.arrow_schema), folder / "inside.parquet")
    return tables.write_table(folder / "paths.jsonl", rows), folder / "inside.parquet"


def test_pictures_and_sounds_inside_a_table(tmp_path: Path) -> None:
    paths, inside = things(tmp_path)
    first = open_rows(inside)[0]
    assert first.values["picture"] == (tmp_path / "0.png").read_bytes() and isinstance(first.values["sound"], bytes)
    assert first.values["kind"] in tables.COLOURS and first.values.holds_bytes("picture")  # type: ignore[attr-defined]
    config = {
        "streams": {
            "picture": {"modality": {"type": "image", "size": 8}, "encoder": {"type": "cnn", "width": 8, "layers": 1}},
            "sound": {"modality": "speech.waveform", "encoder": {"type": "speech.crnn", "width": 8}},
        },
        "fusion": {"type": "gated", "width": 8},
        "heads": {"kind": {"type": "classification", "target": "kind"}},
        "training": {"epochs": 2, "batch_size": 8, "threads": 1, "device": "cpu"},
    }
    for path in (paths, inside):
        data = {"path": str(path), "split_column": "split"}
        mmsdk.train(config | {"data": data}, out=tmp_path / path.stem, show=False)
    assert outcome(tmp_path / "paths") == outcome(tmp_path / "inside")
    pipeline = mmsdk.Pipeline.load(tmp_path / "inside")
    one, other = ([found.as_dict() for found in pipeline.predict(list(read_rows(path)))] for path in (paths, inside))
    assert one == other
    report = inspect(inside)
    assert report["problems"] == [] and report["columns"]["picture"]["kind"] == "bytes"


def test_a_file_that_is_only_named_is_looked_for_beside_the_table(tmp_path: Path) -> None:
    shards.as_parquet(tmp_path / "named.parquet", [{"picture": {"bytes": None, "path": "a.png"}}])
    shards.as_parquet(tmp_path / "no.parquet", [{"label": 1, "pictures": [{"bytes": b"x", "path": None}]}])
    assert open_rows(tmp_path / "named.parquet")[0].values["picture"] == "a.png"
    assert open_rows(tmp_path / "no.parquet")[0].values["pictures"] == [b"x"]


def cut(path: Path, size: int) -> Path:
    path.write_bytes(path.read_bytes()[:size])
    return path


@pytest.mark.parametrize("suffix", KINDS)
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_shard_that_is_cut_off_is_an_error(tmp_path: Path, suffix: str, share: float) -> None:
    pattern = shards.in_shards(tmp_path, TRAIN, suffix)
    shard = tmp_path / f"rows-00001{suffix}"
    cut(shard, int(shard.stat().st_size * share))
    with pytest.raises(DataError, match=f"{shard.name}: truncated"):
        open_rows(pattern)


def test_a_stream_that_is_cut_off_between_two_batches_is_an_error(tmp_path: Path) -> None:
    shard = shards.as_arrow(tmp_path / "a.arrow", TRAIN)
    cut(shard, shard.stat().st_size - 8)
    with pa.OSFile(str(shard)) as file:
        assert pa.ipc.open_stream(file).read_all().num_rows == 33  # Arrow itself would not tell
    with pytest.raises(DataError, match=r"a\.arrow: truncated"):
        open_rows(shard)


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    pattern = shards.in_shards(tmp_path, TRAIN, ".parquet")
    shard = tmp_path / "rows-00002.parquet"
    content = bytearray(shard.read_bytes())
    content[4:60] = bytes(56)
    shard.write_bytes(content)
    with pytest.raises(DataError, match=r"rows-00002\.parquet .*cannot be read"):
        open_rows(pattern)


def test_what_a_pattern_means(tmp_path: Path) -> None:
    shards.in_shards(tmp_path, TRAIN, ".jsonl")
    assert len(open_rows(tmp_path / "rows-*.jsonl")) == 33
    with pytest.raises(DataError, match="no file matches"):
        open_rows(tmp_path / "other-*.parquet")
    with pytest.raises(DataError, match="no such file"):
        open_rows(tmp_path / "other.parquet")


def test_without_the_extra_it_is_said_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = shards.as_parquet(tmp_path / "a.parquet", TRAIN)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"pip install 'mmsdk\[datasets\]'"):
        open_rows(path)
