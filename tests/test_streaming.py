"""Rows that are streamed: one order for any number of processes, resumed exactly, from shards of any kind."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from safetensors.torch import load_file

import mmsdk
from mmsdk.config.data import DataConfig, StreamingConfig
from mmsdk.data.inspection import inspect
from mmsdk.data.samples import Row
from mmsdk.data.splits import load_splits
from mmsdk.data.streaming import Parts, Streamed, open_stream
from mmsdk.errors import CheckpointError, ConfigError, DataError
from mmsdk.training import figures, loop
from mmsdk.training.journal import Journal
from tests import shards
from tests.programs import made_up, training

ROWS = made_up.samples(40)
VALID = made_up.samples(9, seed=1)


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(loop, "draw_curve", lambda entries, path: None)


def stream(sizes: Sequence[int], steps: int, buffer: int = 8, first: int = 0) -> Streamed:
    """Of shards of so many rows, called by shard and place; those before `first` of each cannot be used."""

    def rows(shard: int, size: int) -> Any:
        return (Row(f"{shard}.{place}", {"x": place}) for place in range(size))

    own = [partial(rows, shard, size) for shard, size in enumerate(sizes)]
    config = StreamingConfig(steps_per_epoch=steps, buffer=buffer)
    return Streamed(own, config, lambda row: bool(row.values["x"] >= first), "whose", "here")


def ids(epoch: Any) -> list[list[str | None]]:
    """Of each step, all its parts one after the other."""
    return [[None if row is None else row.id for part in step for row in part] for step in epoch]


@pytest.mark.parametrize(("sizes", "lanes"), [([16] * 4, 4), ([64], 1), ([32, 20, 12], 2), ([4] * 16, 8)])
def test_an_epoch_that_is_as_long_as_the_shards_has_each_row_once(sizes: list[int], lanes: int) -> None:
    streamed = stream(sizes, steps=8)
    assert streamed.lanes(8) == lanes
    found = [name for step in ids(streamed.epoch((0, 0, 0), 8)) for name in step]
    assert len(found) == 64
    if len(set(sizes)) == 1:
        assert len(set(found)) == 64
    assert found != sorted(found) and ids(streamed.epoch((0, 0, 0), 8)) == ids(stream(sizes, 8).epoch((0, 0, 0), 8))
    for order in ((1, 0, 0), (0, 1, 0), (0, 0, 1)):
        assert ids(streamed.epoch(order, 8)) != ids(streamed.epoch((0, 0, 0), 8))


def test_a_long_epoch_goes_on_with_another_deal() -> None:
    found = Counter(name for step in ids(stream([8] * 4, steps=12).epoch((0, 0, 0), 8)) for name in step)
    assert len(found) == 32 and sum(found.values()) == 96 and set(found.values()) <= {2, 3, 4}


def test_what_cannot_be_used_is_passed_over() -> None:
    found = {name for step in ids(stream([8, 8, 0, 8], 9, first=4).epoch((0, 0, 0), 8)) for name in step}
    assert found == {f"{shard}.{place}" for shard in (0, 1, 3) for place in range(4, 8)}
    with pytest.raises(DataError, match="here: there are no usable rows"):
        next(stream([8, 0], 1, first=8).epoch((0, 0, 0), 8))


@pytest.mark.parametrize("processes", [2, 3, 4])
@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("sizes", [[16] * 8, [40, 30], [64]])
def test_processes_share_the_batches_of_one(sizes: list[int], parts: int, processes: int) -> None:
    whole = list(stream(sizes, 6).epoch((3, 1, 2), 8, parts=parts))
    shares = [list(stream(sizes, 6).epoch((3, 1, 2), 8, rank, processes, parts)) for rank in range(processes)]
    for step, one in enumerate(whole):
        for part, rows in enumerate(one):
            together = [row for share in shares for row in share[step][part] if row is not None]
            assert together == rows
    for share in shares:
        assert [len(step) for step in share] == [len(step) for step in whole]


def test_processes_read_shards_of_their_own() -> None:
    read: list[set[str]] = []
    for rank in (0, 1):
        found = ids(stream([16] * 8, 8).epoch((0, 0, 0), 16, rank, 2))
        read.append({str(name).partition(".")[0] for step in found for name in step})
    assert not read[0] & read[1] and len(read[0] | read[1]) == 8


def test_the_rows_of_a_batch_come_from_many_places() -> None:
    plain, mixed = (ids(stream([64], 8, buffer=buffer).epoch((0, 0, 0), 8)) for buffer in (1, 32))
    assert plain[0] == [f"0.{place}" for place in range(8)]
    assert max(int(str(name)[2:]) for name in mixed[0]) >= 16


@pytest.mark.parametrize("skip", [0, 1, 5])
def test_going_on_in_the_middle_of_an_epoch(skip: int) -> None:
    whole: list[Parts] = list(stream([16] * 3, 6).epoch((0, 0, 0), 8))
    assert list(stream([16] * 3, 6).epoch((0, 0, 0), 8, skip=skip)) == whole[skip:]


def test_the_beginning_has_rows_of_all_shards() -> None:
    streamed = stream([3, 1, 5], 1)
    assert [row.id for row in streamed.beginning(5)] == ["0.0", "1.0", "2.0", "0.1", "2.1"]
    assert len(list(streamed.beginning(100))) == 9


def outcome(run: Path) -> tuple[dict[str, bytes], Any]:
    weights = load_file(run / "pipeline" / "model.safetensors")
    figures = json.loads((run / "metrics.json").read_text())["metrics"]
    return {name: tensor.numpy().tobytes() for name, tensor in weights.items()}, figures


def config(folder: Path, train: Path, **training: Any) -> made_up.Config:
    valid = shards.as_jsonl(folder / "valid.jsonl", VALID)
    data = {"train": str(train), "valid": str(valid), "streaming": {"steps_per_epoch": 4, "buffer": 16}}
    return made_up.pipeline(lively=True, epochs=2, checkpoint={"every": 1}, **training) | {"data": data}


@pytest.fixture(scope="module")
def in_text(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], Any]:
    """What a training on JSON lines comes to."""
    folder = tmp_path_factory.mktemp("text")
    given = config(folder, shards.in_shards(folder / "shards", ROWS, ".jsonl", 4))
    mmsdk.train(given, out=folder / "run", show=False)
    return outcome(folder / "run")


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".feather", ".tar"])
def test_every_kind_of_shard_trains_the_same(in_text: Any, tmp_path: Path, suffix: str) -> None:
    given = config(tmp_path, shards.in_shards(tmp_path / "shards", ROWS, suffix, 4))
    mmsdk.train(given, out=tmp_path / "run", show=False)
    assert outcome(tmp_path / "run") == in_text and in_text[1]
    assert not (tmp_path / "cache").exists()  # nothing is copied


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_workers_change_nothing(in_text: Any, tmp_path: Path) -> None:
    given = config(tmp_path, shards.in_shards(tmp_path / "shards", ROWS, ".jsonl", 4), workers=2)
    mmsdk.train(given, out=tmp_path / "run", show=False)
    assert outcome(tmp_path / "run") == in_text


@pytest.mark.parametrize("total", [2, 6])
def test_a_run_that_is_stopped_comes_to_the_same_end(
    in_text: Any, tmp_path: Path, total: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = config(tmp_path, shards.in_shards(tmp_path / "shards", ROWS, ".jsonl", 4))
    step = Journal.step

    def stopping(journal: Journal, *arguments: Any) -> None:
        if journal.job.position.total == total:
            raise KeyboardInterrupt
        step(journal, *arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Journal, "step", stopping)
        mmsdk.train(given, out=tmp_path / "run", show=False)
    mmsdk.train(given, out=tmp_path / "run", resume=True)
    assert outcome(tmp_path / "run") == in_text
    told = " ".join(capsys.readouterr().err.split())
    assert f"reads {8 * ((total - 1) % 4)} rows again" in told and "4 shards in 4 lanes" in told


def test_other_shards_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = config(tmp_path, shards.in_shards(tmp_path / "shards", ROWS, ".jsonl", 4))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(figures, "measured", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        mmsdk.train(given, out=tmp_path / "run", show=False)
    shards.as_jsonl(tmp_path / "shards" / "rows-00002.jsonl", ROWS[:9])
    with pytest.raises(CheckpointError, match="the data has changed"):
        mmsdk.train(given, out=tmp_path / "run", resume=True, show=False)


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".tar"])
def test_a_shard_that_is_cut_off_stops_the_training(tmp_path: Path, suffix: str) -> None:
    given = config(tmp_path, shards.in_shards(tmp_path / "shards", ROWS, suffix, 4))
    shard = tmp_path / "shards" / f"rows-00002{suffix}"
    shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])
    with pytest.raises(DataError, match=rf"rows-00002{suffix}: truncated"):
        mmsdk.train(given, out=tmp_path / "run", show=False)


def test_a_folder_of_files_is_streamed_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "set" / "data").mkdir(parents=True)
    shards.in_shards(tmp_path / "set" / "data", ROWS, ".parquet", 2)
    for number in range(2):
        name = tmp_path / "set" / "data" / f"rows-{number:05}.parquet"
        name.rename(name.with_name(f"train-{number:05}-of-00002.parquet"))
    shards.as_parquet(tmp_path / "set" / "data" / "validation-00000-of-00001.parquet", VALID)
    data = DataConfig(path=tmp_path / "set", valid_split="validation", streaming=StreamingConfig(steps_per_epoch=5))
    assert {name: len(rows) for name, rows in load_splits(data).items()} == {"validation": 9}
    streamed = open_stream(data, lambda row: True)
    found = [row for step in streamed.epoch((0, 0, 0), 8) for part in step for row in part if row is not None]
    assert sorted(row.id for row in found) == sorted(row["id"] for row in ROWS)
    assert not [*(tmp_path / "cache").rglob("*.arrow")]
    with pytest.raises(DataError, match="no split 'fit' to stream"):
        open_stream(data.model_copy(update={"train_split": "fit"}), lambda row: True)


@pytest.mark.parametrize(
    ("data", "more", "message"),
    [
        ({"path": "a.tar", "holdout": {"valid": 0.1}}, {}, "have to see all rows first"),
        ({"path": "a.csv", "split_column": "split"}, {}, "have to see all rows first"),
        ({"valid": "a.tar"}, {}, "needs a file for the split 'train'"),
        ({"path": "a.tar"}, {"group_by": {"key": "talk"}}, "group_by.*'data.streaming' streams them"),
        ({"path": "a.tar"}, {"training": {"batch_tokens": 100}}, "batch_tokens.*streams them"),
        ({"path": "a.tar"}, {"training": {"group": "text"}}, "training.group.*streams them"),
    ],
)
def test_what_has_to_look_rows_up_is_told(data: dict[str, Any], more: dict[str, Any], message: str) -> None:
    given = {**made_up.pipeline(), **more, "data": {**data, "streaming": {"steps_per_epoch": 5}}}
    with pytest.raises(ConfigError, match=message):
        mmsdk.load_config(given)


def test_a_stream_is_neither_inspected_nor_compared_on(tmp_path: Path) -> None:
    given = config(tmp_path, shards.in_shards(tmp_path / "shards", ROWS, ".jsonl", 4))
    (tmp_path / "p.yaml").write_text(json.dumps(given))
    with pytest.raises(DataError, match="look at one of the shards"):
        inspect(tmp_path / "p.yaml")
    with pytest.raises(ConfigError, match="nothing is compared on streamed rows"):
        mmsdk.compare(given, head="colour", out=tmp_path / "out")


def test_two_processes_train_what_one_does(tmp_path: Path) -> None:
    """Streamed text in parts, of which the lanes do not fall to one process each; and a table in a shared cache."""
    streamed = config(tmp_path, shards.in_shards(tmp_path / "shards", ROWS, ".jsonl", 3), accumulation=2)
    streamed |= made_up.pipeline(epochs=2, accumulation=2)
    table = made_up.pipeline(epochs=2) | {"data": {"train": str(shards.as_parquet(tmp_path / "t.parquet", ROWS))}}
    files = []
    for name, each in (("streamed", streamed), ("table", table)):
        files.append(tmp_path / f"{name}.json")
        files[-1].write_text(json.dumps(each))
        mmsdk.train(each, out=tmp_path / "1" / name, show=False)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", str(port)]
    environment = os.environ | {
        "ACCELERATE_USE_CPU": "1",
        "OMP_NUM_THREADS": "1",
        "HF_DATASETS_CACHE": str(tmp_path / "other"),
    }
    command = [*launch, training.__file__, str(tmp_path / "2"), *map(str, files)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for name in ("streamed", "table"):
        one, two = (load_file(tmp_path / count / name / "pipeline" / "model.safetensors") for count in "12")
        for key, tensor in one.items():
            assert torch.allclose(two[key], tensor, rtol=0, atol=1e-6), (name, key)
