"""Folders and hub ids: what is looked for where, and what is said when it is not there. No test touches a network."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import mmsdk
from mmsdk_transformers.declarations import ImageConfig, TextConfig, TokensConfig, VisionConfig
from mmsdk_transformers.source import ModelSource

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of an empty cache of the hub, which cannot be reached."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def tree(model: str) -> dict[str, Any]:
    stream = {"modality": {"type": "transformers.tokens", "model": model}}
    stream["encoder"] = {"type": "transformers.text", "model": model}
    return {"streams": {"t": stream}, "heads": {"y": {"type": "classification", "target": "y", "reads": ["t"]}}}


def test_a_folder_is_relative_to_the_config_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models/own").mkdir(parents=True)
    path = tmp_path / "pipeline.yaml"
    for written in ("models/own", "./models/own", str(tmp_path / "models/own")):
        path.write_text(json.dumps(tree(written)))
        config = mmsdk.load_config(path)
        encoder = config.streams["t"].encoder
        assert isinstance(encoder, TextConfig) and encoder.model == str(tmp_path / "models/own")
    monkeypatch.chdir(tmp_path / "models")
    typed = mmsdk.load_config(path, ["streams.t.encoder.model=own"]).streams["t"].encoder
    assert isinstance(typed, TextConfig) and typed.model == str(tmp_path / "models/own")


def test_everything_else_is_a_hub_id() -> None:
    for name in ("bert-base-uncased", "openai/clip-vit-base-patch32", "a_b/c.d"):
        assert TextConfig(model=name).model == name
    for name in ("a/b/c", "a b", "https://huggingface.co/a/b", "a/../b", "", "a--b", "-a/b"):
        with pytest.raises(ValueError, match=r"neither a folder|found nothing"):
            TextConfig(model=name)
    assert TextConfig(model="~/models").model == str(Path("~/models").expanduser())


def test_something_has_to_be_given() -> None:
    with pytest.raises(ValueError, match="needs 'model"):
        TextConfig()
    with pytest.raises(ValueError, match="needs 'model"):
        ImageConfig()


def test_a_model_of_the_hub_is_pinned_to_its_commit(clip: Path, offline: Path) -> None:
    home = offline / "models--org--tiny"
    (home / "refs").mkdir(parents=True)
    (home / "refs/main").write_text(COMMIT)
    shutil.copytree(clip, home / "snapshots" / COMMIT)
    for kind in (TextConfig, VisionConfig, TokensConfig, ImageConfig):
        resolved = kind(model="org/tiny").resolve()
        assert resolved.revision == COMMIT and resolved.model == "org/tiny"
    encoder = TextConfig(model="org/tiny").resolve().build(mmsdk.Format("tokens", vocabulary=18))
    encoder.initialize()
    published = load_file(clip / "model.safetensors")
    assert torch.equal(encoder.get_parameter("network.text_projection.weight"), published["text_projection.weight"])


def test_offline_without_a_cache(offline: Path) -> None:
    with pytest.raises(mmsdk.ConfigError, match=r"model 'org/none': it is not in the local cache, and the hub cannot"):
        TextConfig(model="org/none").resolve()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("GatedRepoError", "it is gated: accept its terms at https://huggingface.co/org/x, then: hf auth login"),
        ("RepositoryNotFoundError", "there is no such model on the hub, or it is private"),
        ("RevisionNotFoundError", "it has no revision 'old'"),
        ("HfHubHTTPError", "the hub answers: HfHubHTTPError: "),
        ("EntryNotFoundError", "it has no 'config.json'"),
    ],
)
def test_each_answer_of_the_hub_is_told(name: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    kind = getattr(huggingface_hub.errors, name)

    def refuse(*_: Any, **__: Any) -> Any:
        error = kind.__new__(kind)
        Exception.__init__(error, "no")
        raise error

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    with pytest.raises(mmsdk.ConfigError, match=message):
        TextConfig(model="org/x", revision="old").resolve()


def test_folders_that_are_no_models(tmp_path: Path, clip: Path) -> None:
    def said(config: Any) -> str:
        with pytest.raises(mmsdk.ConfigError) as caught:
            encoder = config.resolve().build(mmsdk.Format("tokens", vocabulary=18))
            encoder.initialize()
        return str(caught.value)

    config = TextConfig(model=str(tmp_path / "clip"))
    assert f"there is no folder '{tmp_path / 'clip'}'" in said(config)
    (tmp_path / "clip").mkdir()
    assert "it has no 'config.json'" in said(config)
    for text, message in (("{", "cannot be read"), ("[1]", "expected a mapping, found list")):
        (tmp_path / "clip/config.json").write_text(text)
        assert message in said(config)
    shutil.copy(clip / "config.json", tmp_path / "clip")
    (tmp_path / "clip/pytorch_model.bin").write_bytes(b"a pickle")
    assert "pickles, which can run any code, and are never opened" in said(config)
    (tmp_path / "clip/model.safetensors").write_bytes(b"no weights")
    assert "model.safetensors: cannot be read" in said(config)


def test_weights_that_are_not_what_the_config_says(tmp_path: Path, clip: Path) -> None:
    folder = shutil.copytree(clip, tmp_path / "clip")
    config = TextConfig(model=str(folder))
    weights = load_file(folder / "model.safetensors")
    for name, value, message in (
        ("text_projection.weight", None, r"has no weights for \['text_projection.weight'\], 1 in all"),
        ("text_projection.weight", torch.zeros(5, 5), r"has weights of other shapes for \['text_projection.weight'\]"),
    ):
        changed = {key: part for key, part in weights.items() if key != name}
        save_file(changed if value is None else changed | {name: value}, folder / "model.safetensors")
        encoder = config.resolve().build(mmsdk.Format("tokens", vocabulary=18))
        with pytest.raises(mmsdk.ConfigError, match=message):
            encoder.initialize()


def test_weights_in_several_files(tmp_path: Path, clip: Path) -> None:
    folder = shutil.copytree(clip, tmp_path / "clip")
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    places = {name: f"model-0000{1 + ('text' in name)}-of-00002.safetensors" for name in weights}
    for place in set(places.values()):
        save_file({name: part for name, part in weights.items() if places[name] == place}, folder / place)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": places}))
    encoder = TextConfig(model=str(folder)).resolve().build(mmsdk.Format("tokens", vocabulary=18))
    encoder.initialize()
    assert torch.equal(encoder.get_parameter("network.text_projection.weight"), weights["text_projection.weight"])
    for bad in ({"a": "../outside.safetensors"}, {"a": "b.bin"}, {}, ["a"]):
        index.write_text(json.dumps({"weight_map": bad}))
        with pytest.raises(mmsdk.ConfigError, match="names no safetensors files beside it"):
            ModelSource(str(folder)).weights()


def test_random_weights_of_the_same_architecture(clip: Path) -> None:
    config = TextConfig(model=str(clip), pretrained=False).resolve()
    encoder = config.build(mmsdk.Format("tokens", vocabulary=18))
    before = encoder.get_parameter("network.text_projection.weight").clone()
    encoder.initialize()
    assert torch.equal(encoder.get_parameter("network.text_projection.weight"), before)
    assert config.temperature is None and encoder.temperature is None
