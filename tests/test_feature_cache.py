"""Frozen encoders encode each value once, whoever asks again; nothing comes out differently for it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import mmsdk
from mmsdk.builtin.encoders.mlp import MlpEncoder
from mmsdk.cache import filling
from mmsdk.cache.features import FeatureCache, cachable
from mmsdk.cache.folder import cache_folder, cache_limit, make_room
from mmsdk.cache.keys import SIZE, content_key
from mmsdk.cache.store import Store
from mmsdk.containers import Encoding
from mmsdk.errors import CheckpointError, ConfigError
from mmsdk.training import loop
from tests.programs import made_up

ROWS = {"train": made_up.samples(40, untold=0), "valid": made_up.samples(20, seed=1, untold=0)}


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MMSDK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(loop, "draw_curve", lambda entries, path: False)
    return tmp_path / "cache" / "features"


def frozen(**training: Any) -> made_up.Config:
    """The numbers' encoder is frozen; the others are not."""
    config = made_up.pipeline(epochs=3, **training)
    config["heads"] = {"colour": made_up.COLOUR}
    config["stages"] = [{"name": "tell", "freeze": ["streams.numbers.encoder"]}]
    return config


def train(folder: Path, config: made_up.Config, rows: Any = ROWS) -> mmsdk.Trained:
    return mmsdk.train(config, rows, out=folder, show=False)


def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many values the encoder of numbers sees, call by call."""
    seen: list[int] = []
    forward = MlpEncoder.forward

    def counting(self: Any, inputs: Any) -> Encoding:
        seen.append(len(inputs["values"]))
        return forward(self, inputs)

    monkeypatch.setattr(MlpEncoder, "forward", counting)
    return seen


def shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.safetensors"))


def test_each_value_is_encoded_once_and_nothing_else_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without = train(tmp_path / "without", frozen(feature_cache="off"))
    seen = calls(monkeypatch)
    first = train(tmp_path / "first", frozen())
    distinct = {str(row["numbers"]) for rows in ROWS.values() for row in rows if "numbers" in row}
    assert sum(seen) == len(distinct) > 20
    again = train(tmp_path / "again", frozen())
    assert sum(seen) == len(distinct)  # none of them once more
    assert first.metrics == pytest.approx(without.metrics, rel=1e-6) and again.metrics == first.metrics
    for name, weights in without.pipeline.state_dict().items():
        torch.testing.assert_close(first.pipeline.state_dict()[name], weights, atol=1e-6, rtol=1e-5)
        assert torch.equal(first.pipeline.state_dict()[name], again.pipeline.state_dict()[name])


def test_other_weights_and_other_modalities_have_other_encodings(own_folder: Path, tmp_path: Path) -> None:
    train(tmp_path / "one", frozen())
    train(tmp_path / "seed", frozen(seed=1))
    other = frozen()
    other["streams"] = {
        **other["streams"],
        "numbers": {**other["streams"]["numbers"], "modality": {"type": "features", "standardize": False}},
    }
    train(tmp_path / "modality", other)
    assert len(list(own_folder.iterdir())) == 3


def test_what_moves_is_not_cached(tmp_path: Path, own_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = frozen()
    config["streams"] = made_up.LIVELY_STREAMS
    mmsdk.train(config, ROWS, out=tmp_path / "run")
    assert "stream 'numbers' is frozen, not cached: its modality augments" in capsys.readouterr().err
    config = made_up.pipeline()
    config["heads"] = {"colour": made_up.COLOUR}
    train(tmp_path / "trained", config)
    assert not own_folder.exists()


def test_a_head_that_hides_words_hides_no_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = []
    for cache in ("off", "float32"):
        config = frozen(feature_cache=cache)
        config["streams"] = {
            **made_up.STREAMS,
            "text": {
                "modality": "text",
                "encoder": {"type": "transformer", "width": 8, "layers": 1, "heads": 2, "dropout": 0},
            },
        }
        config["fusion"] = {"type": "cross_attention", "width": 8, "heads": 2, "layers": 1, "dropout": 0}
        config["heads"] = {"words": {"type": "masked", "reads": ["fused.text"]}, "colour": made_up.COLOUR}
        config["stages"][0]["freeze"] = ["streams"]
        figures.append(mmsdk.train(config, ROWS, out=tmp_path / cache).metrics)
    said = capsys.readouterr().err
    assert (
        "'text' is frozen, not cached: head 'words' hides parts" in said and "'image' is frozen, 0 values from" in said
    )
    assert figures[1] == pytest.approx(figures[0], rel=1e-5)


def test_later_stages_freeze_what_earlier_ones_trained(tmp_path: Path, own_folder: Path) -> None:
    figures = []
    for cache in ("off", "float32"):
        config = frozen(feature_cache=cache)
        config["stages"] = [{"name": "all"}, {"name": "rest", "freeze": ["streams"]}]
        figures.append(train(tmp_path / cache, config).metrics)
    assert figures[1] == pytest.approx(figures[0], rel=1e-5)
    assert len(list(own_folder.iterdir())) == 3  # of each stream, with the weights after the first stage


def test_bad_samples_are_told_as_ever(tmp_path: Path) -> None:
    rows = {name: [dict(row) for row in split] for name, split in ROWS.items()}
    rows["train"][3]["numbers"] = made_up.UNREADABLE
    with pytest.raises(mmsdk.DecodeError, match="'0-3': 'numbers'"):
        train(tmp_path / "raise", frozen(), rows)
    done = train(tmp_path / "skip", frozen(on_error="skip"), rows)
    assert "0-3" in (done.run / "bad_samples.jsonl").read_text()


def test_in_bfloat16_within_a_hundredth(tmp_path: Path) -> None:
    pipeline = train(tmp_path / "run", frozen()).pipeline
    rows = [mmsdk.Row(str(place), row) for place, row in enumerate(ROWS["train"])]
    encodings = {}
    for precision in ("float32", "bfloat16"):
        cache = FeatureCache(precision, tmp_path / precision)
        port = cache.port(pipeline, "numbers")
        cache.fill(pipeline, port, rows)
        values = [port.raw(row) for row in rows if port.raw(row) is not None]
        encodings[precision] = port.modality.collate([port.modality.prepare(value) for value in values])
    exact = encodings["float32"].pooled
    assert encodings["bfloat16"].pooled.dtype == torch.float32
    assert 0 < (encodings["bfloat16"].pooled - exact).abs().max() < 0.02 * exact.abs().max()


def test_lengths_and_holes_come_back(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    masks = [[True], [True, False, True], [True] * 5]
    values = [
        Encoding(
            torch.randn(len(mask), 3, generator=generator), torch.tensor(mask), torch.randn(2, generator=generator)
        )
        for mask in masks
    ]
    keys = [content_key(place) for place in range(3)]
    store = Store(tmp_path / "store")
    store.add([(key, value._asdict()) for key, value in zip(keys, values, strict=True)])
    for opened in (store, Store(tmp_path / "store")):
        assert len(opened) == 3 and content_key(3) not in opened
        for key, value in zip(keys, values, strict=True):
            assert all(torch.equal(one, other) for one, other in zip(Encoding(**opened[key]), value, strict=True))


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"\xff" * 64])
def test_damaged_shards_are_encoded_again(tmp_path: Path, own_folder: Path, damage: Any) -> None:
    first = train(tmp_path / "first", frozen())
    (shard,) = shards(own_folder)
    shard.write_bytes(damage(shard.read_bytes()))
    again = train(tmp_path / "again", frozen())
    assert again.metrics == first.metrics and len(shards(own_folder)) == 1


def test_room_is_made_by_age_and_never_by_what_is_in_use(tmp_path: Path) -> None:
    for number, name in enumerate("abc"):
        store = Store(tmp_path / "kind" / name)
        store.add([(content_key(name), {"values": torch.zeros(1, 1000)})])
        (path,) = store.folder.iterdir()
        os.utime(path, (number + 1, number + 1))
    size = path.stat().st_size
    kind = tmp_path / "kind"
    assert make_room(tmp_path, 2 * size, keep=[kind / "a"])
    assert sorted(each.name for each in kind.iterdir()) == ["a", "c"]
    assert not make_room(tmp_path, 0, keep=[kind / "a"])
    assert [each.name for each in kind.iterdir()] == ["a"]


def _writing(folder: Path, worker: int) -> None:
    """Writes shards of ten values until it is killed, or a hundred of them are there."""
    store = Store(folder)
    for number in range(100):
        keys = [content_key(f"{worker} {number} {each}") for each in range(10)]
        store.add([(key, {"tokens": torch.full((4, 64), float(number)), "pooled": torch.ones(3)}) for key in keys])


def test_killed_and_concurrent_writers_leave_whole_shards(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_writing, args=(tmp_path, number)) for number in range(4)]
    for worker in workers:
        worker.start()
    rng = np.random.default_rng(0)
    for worker in workers[:3]:
        time.sleep(rng.uniform(0.01, 0.1))
        os.kill(worker.pid or 0, signal.SIGKILL)
    for worker in workers:
        worker.join()
    store = Store(tmp_path)
    whole = len(list(tmp_path.glob("*.safetensors")))
    assert len(store) == 10 * whole and whole >= 100
    assert all(content_key(f"3 {number} 9") in store for number in range(100))


def test_files_are_known_by_content(tmp_path: Path) -> None:
    for name, colour in {"one": 1, "same": 1, "other": 2}.items():
        Image.new("L", (4, 4), colour).save(tmp_path / f"{name}.png")
    keys = {name: content_key(tmp_path / f"{name}.png") for name in ("one", "same", "other")}
    assert keys["one"] == keys["same"] != keys["other"] and len(keys["one"]) == SIZE


def test_values_that_differ_have_other_keys() -> None:
    values = [
        "ab", b"ab", ["ab"], ["a", "b"], {"a": "b"}, {"b": "a"}, 1, 1.0, True, "1", None, [], {}, [[]],
        np.zeros(4), np.zeros((2, 2)), np.zeros(4, np.float32), torch.ones(4), [0.0] * 4,
        Image.new("L", (2, 8)), Image.new("L", (8, 2)), ["ab", "c"], ["a", "bc"],
    ]  # fmt: skip
    assert len({content_key(value) for value in values}) == len(values)
    assert content_key({"a": 1, "b": 2}) == content_key({"b": 2, "a": 1})
    with pytest.raises(TypeError, match="object"):
        content_key(object())


def test_only_frozen_encoders_are_asked_for(tmp_path: Path) -> None:
    pipeline = train(tmp_path / "run", frozen()).pipeline
    assert cachable(pipeline.train().requires_grad_(True), ["colour"]) == {}
    assert cachable(pipeline.eval(), ["colour"]) == {}
    assert cachable(pipeline.requires_grad_(False), ["colour"]) == {"text": None, "numbers": None, "image": None}


def test_the_folder_and_the_limit_are_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MMSDK_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "mmsdk"
    monkeypatch.setenv("MMSDK_CACHE_GB", "0.5")
    assert cache_limit() == 5 * 10**8
    for wrong in ("much", "-1", "nan"):
        monkeypatch.setenv("MMSDK_CACHE_GB", wrong)
        with pytest.raises(
            ConfigError, match=f"MMSDK_CACHE_GB: expected a number of gigabytes such as 20, got '{wrong}'"
        ):
            cache_limit()


def test_a_cache_that_cannot_be_written_says_so(tmp_path: Path, own_folder: Path) -> None:
    own_folder.parent.mkdir()
    own_folder.write_text("a file in the way")
    with pytest.raises(CheckpointError, match="cannot be written"):
        train(tmp_path / "run", frozen())


def test_workers_map_the_store_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = [train(tmp_path / str(workers), frozen(workers=workers)).metrics for workers in (0, 1)]
    assert figures[0] == figures[1]


def test_many_values_take_several_shards(own_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling, "SHARD_BYTES", 500)
    first = train(tmp_path / "first", frozen())
    assert len(shards(own_folder)) > 3
    assert first.metrics == pytest.approx(train(tmp_path / "off", frozen(feature_cache="off")).metrics, rel=1e-6)
