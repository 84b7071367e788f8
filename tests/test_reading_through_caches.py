"""Whoever measures a pipeline, or embeds with it, reads what its training has kept; nothing comes out differently."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from safetensors.torch import load_file

import mmsdk
from mmsdk.builtin.modalities.image import Image
from mmsdk.cache.reading import Caches
from mmsdk.data.samples import Row
from mmsdk.evaluation.attribution import explain
from mmsdk.training import loop
from tests.programs import made_up
from tests.test_feature_cache import calls as encoder_calls

ROWS = {"train": made_up.samples(40, untold=0), "valid": made_up.samples(20, seed=1, untold=0)}


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MMSDK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(loop, "draw_curve", lambda entries, path: False)
    return tmp_path / "cache" / "features"


def trained(folder: Path, *freeze: str, **training: Any) -> mmsdk.Trained:
    config = made_up.pipeline(epochs=2, **training)
    config["heads"] = {"colour": made_up.COLOUR, "match": made_up.MATCH}
    config["stages"] = [{"name": "tell", "freeze": list(freeze)}]
    return mmsdk.train(config, ROWS, out=folder, show=False)


@pytest.fixture
def run(tmp_path: Path) -> mmsdk.Trained:
    """The numbers' encoder was frozen; the others were not."""
    return trained(tmp_path / "run", "streams.numbers.encoder")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    return encoder_calls(monkeypatch)


@pytest.mark.parametrize("measure", [mmsdk.evaluate, mmsdk.evaluate_subsets])
def test_what_was_frozen_is_not_encoded_again(
    run: mmsdk.Trained, calls: list[int], own_folder: Path, measure: Callable[..., dict[Any, Any]]
) -> None:
    pipeline = mmsdk.Pipeline.load(run.run)
    direct = measure(pipeline, {"valid": ROWS["valid"]}, cache="off")
    assert sum(calls) > 5
    calls.clear()
    assert nearly(measure(pipeline, {"valid": ROWS["valid"]}), direct) and not calls
    assert len(list(own_folder.iterdir())) == 1
    assert pipeline.ports is pipeline.modalities.stream_ports


def nearly(found: dict[Any, Any], expected: dict[Any, Any]) -> bool:
    if not isinstance(next(iter(expected.values())), dict):
        return found == pytest.approx(expected, rel=1e-5)
    return found.keys() == expected.keys() and all(
        nearly(found[key], expected[key]) for key in expected if expected[key]
    )


def test_damaged_values_are_encoded_as_ever(run: mmsdk.Trained) -> None:
    pipeline, data = mmsdk.Pipeline.load(run.run), {"valid": ROWS["valid"]}
    assert nearly(mmsdk.evaluate_corruptions(pipeline, data), mmsdk.evaluate_corruptions(pipeline, data, cache="off"))


def test_new_values_are_kept_where_others_were(run: mmsdk.Trained, calls: list[int]) -> None:
    other = {"other": made_up.samples(12, seed=5, untold=0)}
    first = mmsdk.evaluate(run.run, other)
    assert sum(calls) > 0
    calls.clear()
    assert mmsdk.evaluate(run.run, other) == first and not calls


def test_all_keeps_what_was_trained_too(tmp_path: Path, own_folder: Path, calls: list[int]) -> None:
    run = trained(tmp_path / "run")
    direct = mmsdk.evaluate(run.run, {"valid": ROWS["valid"]})
    assert not own_folder.exists()
    assert nearly(mmsdk.evaluate(run.run, {"valid": ROWS["valid"]}, cache="all"), direct)
    assert len(list(own_folder.iterdir())) == 3
    calls.clear()
    assert nearly(mmsdk.evaluate(run.run, {"valid": ROWS["valid"]}), direct) and not calls


def test_who_trained_without_it_measures_without_it(tmp_path: Path, own_folder: Path) -> None:
    run = trained(tmp_path / "run", "streams.numbers.encoder", feature_cache="off")
    mmsdk.evaluate(run.run, {"valid": ROWS["valid"]})
    assert not own_folder.exists()


def test_no_room_is_no_error(run: mmsdk.Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    other = {"other": made_up.samples(12, seed=5, untold=0)}
    direct = mmsdk.evaluate(run.run, other, cache="off")
    monkeypatch.setenv("MMSDK_CACHE_GB", "0")
    assert nearly(mmsdk.evaluate(run.run, other), direct)
    caches = Caches(run.pipeline, ["colour"], files=False)
    with caches(lambda: [Row(row["id"], row) for row in other["other"]]):
        assert run.pipeline.ports == run.pipeline.modalities.stream_ports
    assert "0 encoded once; not cached: the cache is full" in caches.told()[0]


def test_a_cache_that_cannot_be_written_is_no_error(run: mmsdk.Trained, own_folder: Path) -> None:
    (home,) = own_folder.iterdir()
    caches = Caches(run.pipeline, ["colour"], files=False)
    for shard in home.iterdir():
        shard.unlink()
    home.rmdir()
    home.write_text("a file in the way")
    with caches(lambda: [Row(row["id"], row) for row in made_up.samples(12, seed=5)]):
        assert run.pipeline.ports == run.pipeline.modalities.stream_ports
    assert "not cached" in caches.told()[0] and "cannot be written" in caches.told()[0]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS["valid"]))
    return path


def test_commands_say_what_they_found(run: mmsdk.Trained, table: Path, tmp_path: Path, cli: Callable[..., Any]) -> None:
    line = f"stream 'numbers': 12 encodings from {tmp_path / 'cache'}, 0 encoded once\n"
    for options in ([], ["--subsets"], ["--corruptions"]):
        done = cli("evaluate", run.run, "--data", table, *options)
        assert done.exit_code == 0 and line in done.stderr
        assert "encodings" not in cli("evaluate", run.run, "--data", table, *options, "--cache", "off").stderr


def test_embeddings_are_the_same(
    run: mmsdk.Trained, table: Path, tmp_path: Path, cli: Callable[..., Any], calls: list[int]
) -> None:
    seen = {}
    for cache in ("known", "off"):
        calls.clear()
        done = cli("embed", run.run, "--data", table, "--out", tmp_path / cache, "--cache", cache)
        assert done.exit_code == 0 and ("encodings from" in done.stderr) == (cache == "known")
        seen[cache] = sum(calls)
    assert seen["known"] == 1 < seen["off"]  # a blank, to know the widths
    for source in ("text", "numbers"):
        found, direct = (load_file(tmp_path / cache / f"{source}.safetensors")["vectors"] for cache in ("known", "off"))
        torch.testing.assert_close(found, direct, atol=1e-6, rtol=1e-5)


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[made_up.Rows, list[Any]]]:
    """Rows with pictures in files, and the pictures that are decoded."""
    seen: list[Any] = []
    prepare = Image.prepare
    monkeypatch.setattr(Image, "prepare", lambda self, value: seen.append(value) or prepare(self, value))
    rng = np.random.default_rng(0)
    for number in range(6):
        pixels = rng.integers(255, size=(9, 9, 3), dtype=np.uint8)
        Pillow.fromarray(pixels).save(tmp_path / f"{number}.png")
    colours = made_up.COLOURS
    yield [{"image": str(tmp_path / f"{number}.png"), "colour": colours[number % 3]} for number in range(6)], seen


def test_files_are_decoded_once_by_whoever_measures(tmp_path: Path, pictures: tuple[made_up.Rows, list[Any]]) -> None:
    rows, seen = pictures
    config = made_up.pipeline()
    config["streams"] = {"image": made_up.STREAMS["image"]}
    config["heads"] = {"colour": made_up.COLOUR}
    pipeline = mmsdk.train(config, {"train": rows[:3]}, out=tmp_path / "run", show=False).pipeline
    seen.clear()
    first = mmsdk.evaluate(pipeline, {"all": rows})
    assert len(seen) == 3
    mmsdk.evaluate_subsets(pipeline, {"all": rows})
    explain(pipeline, rows, rows)
    assert len(seen) == 3
    assert mmsdk.evaluate(pipeline, {"all": rows}, cache="off") == first
    assert len(seen) == 9
