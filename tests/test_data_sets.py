"""Data sets with splits of their own: folders that `datasets` wrote or reads, and the hub, which no test can reach."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import pytest

import mmsdk
from mmsdk.config.data import DataConfig
from mmsdk.data.inspection import inspect
from mmsdk.data.samples import Row, digest, open_rows, read_rows
from mmsdk.data.splits import load_splits
from mmsdk.data.tables import Table
from mmsdk.errors import DataError
from tests import shards, tables
from tests.programs import made_up

TRAIN, TEST = made_up.samples(20), made_up.samples(6, seed=1)


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of its own, and no network."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()


def ids(splits: Any) -> dict[str, list[str]]:
    return {name: [row.id for row in rows] for name, rows in splits.items()}


def saved(folder: Path) -> Path:
    both = {name: datasets.Dataset(shards.as_table(rows)) for name, rows in (("train", TRAIN), ("test", TEST))}
    datasets.DatasetDict(both).save_to_disk(folder)
    return folder


def files(folder: Path, suffix: str) -> Path:
    """As a data set of the hub lies in its repository."""
    (folder / "data").mkdir(parents=True)
    for name, rows in (("train", TRAIN), ("test", TEST)):
        shards.WRITERS[suffix](folder / "data" / f"{name}-00000-of-00001{suffix}", rows)
    return folder


def test_a_saved_data_set(tmp_path: Path) -> None:
    splits = load_splits(DataConfig(path=saved(tmp_path / "set")))
    assert ids(splits) == ids({"train": made_rows(TRAIN), "test": made_rows(TEST)})
    assert all(isinstance(rows, Table) for rows in splits.values())
    assert ids(load_splits(DataConfig(path=tmp_path / "set" / "test", train_split="all"))) == {
        "all": [row["id"] for row in TEST]
    }
    assert len(open_rows(tmp_path / "set" / "test")) == len(list(read_rows(tmp_path / "set" / "test"))) == 6
    with pytest.raises(DataError, match="several splits"):
        open_rows(tmp_path / "set")
    assert inspect(tmp_path / "set")["splits"] == {"train": 20, "test": 6}


def made_rows(rows: Any) -> list[Row]:
    return [Row(row["id"], row) for row in rows]


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
def test_a_folder_of_files(tmp_path: Path, suffix: str) -> None:
    data = DataConfig(path=files(tmp_path / "set", suffix))
    splits = load_splits(data)
    assert ids(splits) == ids({"train": made_rows(TRAIN), "test": made_rows(TEST)})
    first = digest(splits)
    (tmp_path / "cache").rename(tmp_path / "gone")
    assert digest(load_splits(data)) == first


def test_holding_rows_out_of_the_split_that_is_trained_on(tmp_path: Path) -> None:
    path = saved(tmp_path / "set")
    splits = load_splits(DataConfig(path=path, holdout={"valid": 0.3}))
    assert list(splits) == ["train", "valid", "test"] and len(splits["valid"]) + len(splits["train"]) == 20
    text = shards.as_jsonl(tmp_path / "r.jsonl", TRAIN)
    assert {**ids(load_splits(DataConfig(path=text, holdout={"valid": 0.3}))), "test": ids(splits)["test"]} == ids(
        splits
    )
    for wrong, message in (
        ({"holdout": {"test": 0.3}}, "has a split 'test' already"),
        ({"holdout": {"valid": 0.3}, "train_split": "fit"}, "no split 'fit'"),
        ({"split_column": "colour"}, "has splits already"),
    ):
        with pytest.raises(DataError, match=message):
            load_splits(DataConfig(path=path, **wrong))  # type: ignore[arg-type]


def test_training_on_a_saved_data_set(tmp_path: Path) -> None:
    config = made_up.pipeline(epochs=1) | {"data": {"path": str(saved(tmp_path / "set"))}}
    trained = mmsdk.train(config, out=tmp_path / "run", show=False)
    text = {
        "train": shards.as_jsonl(tmp_path / "a.jsonl", TRAIN),
        "test": shards.as_jsonl(tmp_path / "b.jsonl", TEST),
    }
    other = mmsdk.train(config | {"data": text}, out=tmp_path / "other", show=False)
    assert trained.metrics == other.metrics and any(name.startswith("test/") for name in trained.metrics)


def test_pictures_in_folders_that_tell_their_labels(tmp_path: Path) -> None:
    for number, kind in enumerate(("red", "red", "green", "blue")):
        (tmp_path / "set" / kind).mkdir(parents=True, exist_ok=True)
        tables.picture(tmp_path / "set" / kind / f"{number}.png", tables.COLOURS[kind])
    (rows,) = load_splits(DataConfig(path=tmp_path / "set")).values()
    found = {row.values["label"]: row.values["image"] for row in rows}
    assert found.keys() == tables.COLOURS.keys() and Path(found["green"]).name == "2.png"


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
@pytest.mark.parametrize("lost", [False, True])
def test_a_saved_shard_that_is_cut_off_or_lost(tmp_path: Path, share: float, lost: bool) -> None:
    (shard,) = (saved(tmp_path / "set") / "train").glob("*.arrow")
    shard.write_bytes(shard.read_bytes()[: int(shard.stat().st_size * share)])
    if lost:
        shard.unlink()
    with pytest.raises(DataError, match=r"set: cannot be read|truncated"):
        load_splits(DataConfig(path=tmp_path / "set"))


def test_a_saved_shard_without_its_end(tmp_path: Path) -> None:
    (shard,) = (saved(tmp_path / "set") / "train").glob("*.arrow")
    shard.write_bytes(shard.read_bytes()[:-8])
    with pytest.raises(DataError, match=f"{shard.name}: truncated"):
        load_splits(DataConfig(path=tmp_path / "set"))


def test_folders_that_are_not_read(tmp_path: Path) -> None:
    shards.as_tar(files(tmp_path / "tar", ".tar") / "data" / "more.tar", TRAIN)
    with pytest.raises(DataError, match=r"kind 'webdataset'.*name the shards instead"):
        load_splits(DataConfig(path=tmp_path / "tar"))
    (tmp_path / "script").mkdir()
    (tmp_path / "script" / "script.py").write_text("raise SystemExit('ran')")
    with pytest.raises(DataError, match="cannot be opened"):
        load_splits(DataConfig(path=tmp_path / "script"))


def test_a_data_set_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked of `datasets`; the files themselves come from a folder."""
    asked: list[Any] = []
    real = datasets.load_dataset_builder

    def builder(path: str, name: str | None = None, revision: str | None = None) -> Any:
        asked.append((path, name, revision))
        return real(str(tmp_path / "set"))

    files(tmp_path / "set", ".parquet")
    monkeypatch.setattr(datasets, "load_dataset_builder", builder)
    given = mmsdk.load_config(made_up.pipeline() | {"data": {"hub": {"name": "a/b", "subset": "en", "revision": "c0"}}})
    assert given.data is not None
    assert ids(load_splits(given.data)) == ids({"train": made_rows(TRAIN), "test": made_rows(TEST)})
    assert asked == [("a/b", "en", "c0")]
    assert load_splits(given.data)["train"][0].folder is None
    again = mmsdk.load_config(json.loads(given.model_dump_json()))
    assert again.data == given.data


def test_the_hub_that_cannot_be_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"a/b: cannot be opened"):
        load_splits(DataConfig(hub="a/b"))  # type: ignore[arg-type]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a" / "b").mkdir(parents=True)
    with pytest.raises(DataError, match="a folder here, too"):
        load_splits(DataConfig(hub="a/b"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"hub": "no-owner"}, "hub"),
        ({"hub": "a/b", "path": "x.jsonl"}, "'hub' beside 'path'"),
        ({"hub": "a/b", "train": "x.jsonl"}, "'hub' beside 'train'"),
    ],
)
def test_configs_that_say_two_things(data: dict[str, Any], message: str) -> None:
    with pytest.raises(mmsdk.ConfigError, match=message):
        mmsdk.load_config(made_up.pipeline() | {"data": data})
