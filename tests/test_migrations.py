"""Old files stay readable: made-up older versions of configs, saved pipelines and runs; newer ones are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest

import mmsdk
from mmsdk import CheckpointError, ConfigError, migrations
from mmsdk.config.pipeline import PipelineConfig
from mmsdk.evaluation.run_data import parts_of_run
from mmsdk.folders import MANIFEST, entry
from mmsdk.migrations import Content, migrated, newest
from mmsdk.training.run import Run
from tests.test_pipeline import HEADS, ROWS, STREAMS, build

OLD = """\
schema_version: 0
inputs:
  word: {modality: text, encoder: {type: bag, width: 8}}
  vector: {modality: features, encoder: {type: mlp, width: 8}}
fusion: {type: concat, width: 8}
heads: {y: {type: classification, target: y}}
training: {epochs: 3}
"""


def rename_inputs(config: Content) -> Content:
    """The step of a version 0 that never was: streams were called inputs."""
    config["streams"] = config.pop("inputs")
    return config


@pytest.fixture
def version_0(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "CONFIG", {0: rename_inputs})


def old(tree: Content) -> Content:
    return {"inputs" if key == "streams" else key: value for key, value in (tree | {"schema_version": 0}).items()}


# The steps


def test_steps_follow_each_other_and_leave_the_original_alone() -> None:
    steps = {
        1: lambda tree: tree | {"b": tree["a"] + [1]},
        2: lambda tree: {key: value for key, value in tree.items() if key != "a"},
    }
    given = {"n": 1, "a": [0]}
    assert newest(steps) == 3 and migrated(given, "n", steps) == {"n": 3, "b": [0, 1]}
    assert given == {"n": 1, "a": [0]}
    assert migrated({"a": [0]}, "n", steps) == {"n": 3, "b": [0, 1]}  # without a number: the first version
    assert migrated({"n": 2, "b": 1}, "n", steps) == {"n": 3, "b": 1}


@pytest.mark.parametrize("number", [3, 9, -1, True, "1", 1.0, None])
def test_what_has_no_step_stays_as_it_is(number: Any) -> None:
    tree = {"n": number}
    assert migrated(tree, "n", {1: dict, 2: dict}) is tree


def test_the_last_step_leads_to_the_number_that_is_validated() -> None:
    assert get_args(PipelineConfig.model_fields["schema_version"].annotation) == (newest(migrations.CONFIG),)
    assert PipelineConfig.model_fields["schema_version"].default == newest(migrations.CONFIG)


# Configs


def test_an_old_config_is_read(version_0: None, tmp_path: Path) -> None:
    path = tmp_path / "old.yaml"
    path.write_text(OLD)
    config = mmsdk.load_config(path, ["training.epochs=7", "streams.word.encoder.width=4"])
    assert list(config.streams) == ["word", "vector"] and config.schema_version == 1
    assert config.training.epochs == 7 and config.streams["word"].encoder.width == 4  # type: ignore[union-attr]
    assert PipelineConfig.model_validate({**mmsdk.load_config(path).model_dump(mode="json")}) == mmsdk.load_config(path)


@pytest.mark.parametrize(("before", "after", "message"), [
    ("epochs: 3", "epochs: no", "old.yaml:7:12: training.epochs: should be a whole number, found 'no'"),
    ("type: bag, width: 8", "type: bag, wide: 8", "old.yaml:3:"),
])  # fmt: skip
def test_mistakes_in_an_old_config_have_their_places(
    version_0: None, tmp_path: Path, before: str, after: str, message: str
) -> None:
    path = tmp_path / "old.yaml"
    path.write_text(OLD.replace(before, after))
    with pytest.raises(ConfigError) as raised:
        mmsdk.load_config(path)
    assert message in str(raised.value)


def test_a_key_of_the_old_version_is_unknown_in_the_new_one(version_0: None) -> None:
    with pytest.raises(ConfigError, match="Unknown key 'inputs'"):
        mmsdk.load_config({"schema_version": 1, "inputs": STREAMS, "heads": HEADS})


@pytest.mark.parametrize(("number", "message"), [
    ("2", "1:1: schema_version: the config is of version 2, this mmsdk knows 1: pip install -U mmsdk"),
    ("0", "1:1: schema_version: should be 1, found 0"),
    ("'1'", "1:1: schema_version: should be 1, found '1'"),
])  # fmt: skip
def test_a_version_that_is_not_known_says_what_to_do(tmp_path: Path, number: str, message: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(OLD.replace("version: 0", f"version: {number}").replace("inputs", "streams"))
    with pytest.raises(ConfigError) as raised:
        mmsdk.load_config(path)
    assert str(raised.value) == f"{path}:{message}"


# Saved pipelines and runs


def rewritten(folder: Path, name: str, change: Any) -> None:
    """Change a JSON file of a sealed folder as its own writer would have."""
    path = folder / name
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"][name] = entry(path)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def test_an_old_saved_pipeline_is_opened(version_0: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Both numbers are older: the header held the config under another name, and the config its streams."""
    monkeypatch.setattr(migrations, "SAVED", {0: lambda head: head | {"config": head["pipeline"]}})
    pipeline = build().eval()
    folder = pipeline.save(tmp_path / "saved", {"test/y/accuracy": 0.5})
    rewritten(
        folder, "pipeline.json", lambda head: head | {"format": 0, "pipeline": old(head["config"]), "config": None}
    )
    opened = mmsdk.Pipeline.load(folder)
    assert opened.predict(ROWS) == pipeline.predict(ROWS) and opened.about.metrics == {"test/y/accuracy": 0.5}
    again = json.loads((opened.save(tmp_path / "again") / "pipeline.json").read_text())
    assert again["format"] == 1 and again["config"]["schema_version"] == 1 and "pipeline" not in again


@pytest.mark.parametrize(("change", "says"), [
    ({"format": 2}, "saved in format 2, this mmsdk reads format 1: pip install -U mmsdk"),
    ({"config": {"schema_version": 2}},
     r"pipeline\.json: schema_version: the config is of version 2, this mmsdk knows 1: pip install -U mmsdk"),
    ({"config": []}, r"pipeline\.json: should be a mapping, found an empty list"),
    ({"config": {"schema_version": 0}}, r"pipeline\.json: schema_version: should be 1, found 0"),
])  # fmt: skip
def test_a_pipeline_of_a_newer_version_says_what_to_upgrade(tmp_path: Path, change: Content, says: str) -> None:
    folder = build().save(tmp_path / "saved")
    rewritten(folder, "pipeline.json", lambda head: head | change)
    with pytest.raises(CheckpointError, match=says):
        mmsdk.Pipeline.load(folder)


def test_an_old_run_goes_on_and_is_measured(version_0: None, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(row | {"split": split}) + "\n" for split in ("train", "test") for row in ROWS))
    settings = {
        "streams": STREAMS, "fusion": "concat", "heads": {"y": HEADS["y"]},
        "data": {"path": str(rows), "split_column": "split"}, "training": {"epochs": 1},
    }  # fmt: skip
    folder = mmsdk.train(settings, out=tmp_path / "run", show=False).run
    path = folder / "config.json"
    facts = json.loads(path.read_text())
    path.write_text(json.dumps(facts | {name: old(facts[name]) for name in ("config", "resolved")}))
    config = mmsdk.load_config(settings)
    assert Run(folder).require_same(config)["data"] == facts["data"] and Run(folder).resolved(config) == config
    assert [part.split for part in parts_of_run(folder, config, None, [])] == ["test"]
    assert mmsdk.train(settings, out=folder, resume=True, show=False).metrics
    path.write_text(json.dumps(facts | {"config": facts["config"] | {"schema_version": 2}}))
    with pytest.raises(CheckpointError, match=r"config\.json: schema_version: the config is of version 2"):
        parts_of_run(folder, config, None, [])
