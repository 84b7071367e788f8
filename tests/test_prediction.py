"""Predictions: any subset of streams, typed results, one bad sample never harms the others; saving and loading."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import mmsdk
from mmsdk.errors import CheckpointError, ConfigError, PluginError
from mmsdk.folders import MANIFEST

from .test_pipeline import ROWS, build, config


def test_any_subset_of_streams_in_order_with_ids_kept() -> None:
    samples = [{"id": "x", "word": "red"}, {"vector": [0.0, 1.0]}, {"id": 7, "word": "blue", "vector": [1.0, 1.0]}]
    results = build().predict(samples, batch_size=2)
    assert [result.id for result in results] == ["x", "sample[1]", "7"]
    for result in results:
        prediction = result["y"]
        assert prediction.value in ("a", "b") and 0.5 <= prediction.confidence <= 1
        assert sum(prediction.scores.values()) == pytest.approx(1)
        assert set(result.predictions) == {"y", "vote"}  # `near` aligns streams, it predicts nothing


def test_a_mapping_is_one_sample() -> None:
    assert len(build().predict({"word": "red"})) == 1


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ({}, "every stream is absent"),
        ({"word": "", "vector": None}, "every stream is absent"),
        ({"vector": [1.0]}, "'vector'"),
        ({"vector": [1.0, float("inf")]}, "'vector'"),
        ({"word": "red", "vector": "text"}, "'vector'"),
        ("red", "expected a mapping"),
    ],
)
def test_a_bad_sample_gets_an_error_and_the_others_their_values(sample: Any, message: str) -> None:
    good = {"word": "red", "vector": [0.0, 1.0]}
    first, bad, last = build().predict([good, sample, good])
    assert message in bad.error and not bad.predictions
    with pytest.raises(KeyError, match="'"):
        bad["y"]
    assert first["y"] == last["y"] and first.error is None


def test_results_become_plain_values() -> None:
    good, bad = build().predict([{"id": "1", "word": "red"}, {"id": "2"}])
    plain = json.loads(json.dumps(good.as_dict()))
    assert plain["id"] == "1" and plain["y"]["value"] in ("a", "b") and set(plain) == {"id", "y", "vote"}
    assert set(bad.as_dict()) == {"id", "error"}


def test_heads_can_be_chosen_and_a_wrong_one_is_told() -> None:
    pipeline = build()
    assert set(pipeline.predict({"word": "red"}, heads=["y"])[0].predictions) == {"y"}
    with pytest.raises(ConfigError, match=r"no head 'near' that makes predictions.*'y', 'vote'"):
        pipeline.predict({"word": "red"}, heads=["near"])


def test_predicting_leaves_the_modes_of_all_modules_as_they_were() -> None:
    pipeline = build().train()
    pipeline.encoders["word"].eval()
    before = [module.training for module in pipeline.modules()]
    pipeline.predict({"word": "red"})
    assert [module.training for module in pipeline.modules()] == before


def test_a_saved_pipeline_predicts_the_same_and_names_its_parts(tmp_path: Path) -> None:
    pipeline = build().eval()
    folder = pipeline.save(tmp_path / "saved", {"test/y/accuracy": 0.5})
    assert {path.name for path in folder.iterdir()} == {
        "pipeline.json", "model.safetensors", "modalities.json", "modalities.safetensors", "README.md", MANIFEST,
    }  # fmt: skip
    loaded = mmsdk.Pipeline.load(folder)
    assert loaded.predict(ROWS) == pipeline.predict(ROWS)
    assert "test/y/accuracy | 0.5000" in (folder / "README.md").read_text()
    names = {name.partition(".")[0] for name in loaded.state_dict()}
    assert names == {"streams", "fusion", "heads"}


def test_saving_again_replaces_the_folder_whole(tmp_path: Path) -> None:
    first, second = build().eval(), build().eval()
    with torch.no_grad():
        for parameter in second.parameters():
            parameter.add_(0.1)
    first.save(tmp_path / "saved")
    second.save(tmp_path / "saved")
    assert mmsdk.Pipeline.load(tmp_path / "saved").predict(ROWS) == second.predict(ROWS)
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]


def test_loading_needs_nothing_but_the_folder(tmp_path: Path) -> None:
    """A vocabulary that was given as a file travels with the pipeline."""
    streams = config().model_dump(mode="json")["streams"]
    source = tmp_path / "tokenizer.json"
    state = build().modalities.streams["word"].state()
    source.write_text(next(value for value in state.values() if isinstance(value, str) and value.startswith("{")))
    streams["word"]["modality"]["file"] = str(source)
    pipeline = build(config(streams=streams)).eval()
    pipeline.save(tmp_path / "saved")
    source.unlink()
    assert mmsdk.Pipeline.load(tmp_path / "saved").predict(ROWS) == pipeline.predict(ROWS)


@pytest.mark.parametrize("name", ["pipeline.json", "model.safetensors", "modalities.json"])
@pytest.mark.parametrize("harm", ["cut", "remove", "change"])
def test_a_damaged_folder_is_refused(tmp_path: Path, name: str, harm: str) -> None:
    path = build().save(tmp_path / "saved") / name
    content = path.read_bytes()
    if harm == "remove":
        path.unlink()
    else:
        path.write_bytes(content[: len(content) // 2] if harm == "cut" else bytes([content[0] ^ 1]) + content[1:])
    with pytest.raises(CheckpointError, match=name):
        mmsdk.Pipeline.load(tmp_path / "saved")


def test_the_model_card_may_be_edited(tmp_path: Path) -> None:
    folder = build().save(tmp_path / "saved")
    (folder / "README.md").write_text("# Ours\n")
    (folder / "notes.txt").write_text("more")
    assert mmsdk.Pipeline.load(folder).predict(ROWS)


def test_a_folder_that_is_no_pipeline_is_told_apart_from_an_unfinished_run(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no saved pipeline here"):
        mmsdk.Pipeline.load(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(CheckpointError, match="--resume"):
        mmsdk.Pipeline.load(tmp_path)


@pytest.mark.parametrize(
    ("prefix", "distribution", "says"),
    [
        ("serve", "evil --index-url http://x", "pip install mmsdk-serve"),
        ("mine", "mmsdk-mine", "pip install mmsdk-mine"),
        ("mine", "mmsdk-mine; rm -rf /", "prefix 'mine', which is not installed"),
    ],
)
def test_a_missing_plugin_is_named_before_anything_is_built(
    tmp_path: Path, prefix: str, distribution: str, says: str
) -> None:
    folder = build().save(tmp_path / "saved")
    head = json.loads((folder / "pipeline.json").read_text())
    head["plugins"] = {prefix: {"distribution": distribution, "version": "1.0"}}
    (folder / "pipeline.json").write_text(json.dumps(head))
    entries = json.loads((folder / MANIFEST).read_text())
    content = (folder / "pipeline.json").read_bytes()
    import hashlib

    entries["files"]["pipeline.json"] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / MANIFEST).write_text(json.dumps(entries))
    with pytest.raises(PluginError) as error:
        mmsdk.Pipeline.load(folder)
    assert says in str(error.value) and "rm -rf" not in str(error.value) and "index-url" not in str(error.value)
