"""Each file is decoded once, whoever asks again; nothing comes out differently for it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

import mmsdk
from mmsdk.builtin.declarations.modalities import ImageConfig
from mmsdk.builtin.modalities.image import Image
from mmsdk.cache import code, filling, looks
from mmsdk.cache.code import code_key
from mmsdk.cache.decoded import Decoded
from mmsdk.cache.store import as_record
from mmsdk.data.samples import Row
from mmsdk.pipeline.modalities import Modalities
from mmsdk.training import loop
from tests.programs import made_up

Folder = Path


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.setenv("MMSDK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(loop, "draw_curve", lambda entries, path: False)
    return tmp_path / "cache" / "decoded"


@pytest.fixture
def data(tmp_path: Path) -> dict[str, list[dict[str, Any]]]:
    """30 rows to train on and 10 to measure by, with 16 pictures in files that are an hour old."""
    rng = np.random.default_rng(0)
    for number in range(16):
        path = tmp_path / f"{number}.png"
        Pillow.fromarray(rng.integers(255, size=(12, 9, 3), dtype=np.uint8)).save(path)
        old(path)
    return {
        name: [
            {"id": f"{name}{row}", "image": str(tmp_path / f"{row % count}.png"), "colour": made_up.COLOURS[row % 3]}
            for row in range(rows)
        ]
        for name, rows, count in (("train", 30, 16), ("valid", 10, 8))
    }


def old(path: Path) -> None:
    now = path.stat().st_mtime
    os.utime(path, (now - 3600, now - 3600))


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are trusted at once: a test cannot wait until the moment of their last change is past."""
    monkeypatch.setattr(looks, "YOUNG", -1.0)


@pytest.fixture
def decodes(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The pictures that are decoded, in this process."""
    seen: list[Path] = []
    prepare = Image.prepare

    def counting(self: Image, value: Any) -> Any:
        seen.append(value)
        return prepare(self, value)

    monkeypatch.setattr(Image, "prepare", counting)
    return seen


def pictures(lively: bool = False, **training: Any) -> made_up.Config:
    config = made_up.pipeline(epochs=2, **training)
    config["streams"] = {"image": (made_up.LIVELY_STREAMS if lively else made_up.STREAMS)["image"]}
    config["heads"] = {"colour": made_up.COLOUR}
    return config


def same(one: mmsdk.Trained, other: mmsdk.Trained) -> bool:
    ours, theirs = one.pipeline.state_dict(), other.pipeline.state_dict()
    return one.metrics == other.metrics and all(torch.equal(ours[name], theirs[name]) for name in theirs)


def train(folder: Path, config: made_up.Config, data: Any) -> mmsdk.Trained:
    return mmsdk.train(config, data, out=folder, show=False)


def test_each_file_is_decoded_once_and_nothing_changes(data: Any, tmp_path: Path, decodes: list[Path]) -> None:
    without = train(tmp_path / "without", pictures(decoded_cache=False), data)
    before = len(decodes)
    first = train(tmp_path / "first", pictures(), data)
    assert len(decodes) - before == 16 < before
    again = train(tmp_path / "again", pictures(), data)
    assert len(decodes) - before == 16  # none of them once more
    assert same(first, without) and same(again, without)


def test_augmentation_stays_what_it_is(data: Any, tmp_path: Path, decodes: list[Path]) -> None:
    without = train(tmp_path / "without", pictures(lively=True, decoded_cache=False), data)
    before = len(decodes)
    assert same(train(tmp_path / "with", pictures(lively=True), data), without)
    assert len(decodes) - before == 16


def test_workers_decode_and_read(data: Any, tmp_path: Path) -> None:
    one, other = (train(tmp_path / str(workers), pictures(workers=workers), data) for workers in (1, 0))
    assert same(one, other)


def test_a_run_says_what_it_found(
    data: Any, tmp_path: Path, own_folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    for outcome in ("0 files of 'image' from {}, 16 decoded once", "16 files of 'image' from {}, 0 decoded once"):
        mmsdk.train(pictures(), data, out=tmp_path / outcome[:2])
        said = capsys.readouterr().err
        assert said.count("decoded once") == 1 and f"train: {outcome.format(own_folder.parent)}\n" in said


def test_files_with_another_content_are_decoded_again(data: Any, tmp_path: Path, decodes: list[Path]) -> None:
    train(tmp_path / "first", pictures(), data)
    before = len(decodes)
    Pillow.new("RGB", (12, 9), "red").save(tmp_path / "3.png")
    shutil.copyfile(tmp_path / "1.png", tmp_path / "2.png")  # a content that is known
    changed = train(tmp_path / "changed", pictures(), data)
    assert decodes[before:] == [tmp_path / "3.png"]
    assert same(changed, train(tmp_path / "without", pictures(decoded_cache=False), data))


def test_files_that_look_the_same_are_not_read_again(
    data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    content_of = looks.content_of
    monkeypatch.setattr(looks, "content_of", lambda path: read.append(path) or content_of(path))
    train(tmp_path / "first", pictures(), data)
    assert len(read) == 16
    train(tmp_path / "again", pictures(), data)
    assert len(read) == 16
    Pillow.new("RGB", (12, 9), "red").save(tmp_path / "3.png")
    old(tmp_path / "3.png")
    train(tmp_path / "changed", pictures(), data)
    assert len(read) == 17


def test_young_files_are_read_again(data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a tick of the clock a file can change, and look as it did."""
    monkeypatch.setattr(looks, "YOUNG", 1e6)
    train(tmp_path / "first", pictures(), data)
    assert not (tmp_path / "cache" / "files").exists()


def test_a_full_cache_costs_time_alone(
    data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decodes: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    without = train(tmp_path / "without", pictures(decoded_cache=False), data)
    monkeypatch.setattr(filling, "SHARD_BYTES", 8 * 8 * 3 * 4)  # four pictures
    monkeypatch.setenv("MMSDK_CACHE_GB", "0.000003")  # two such shards with their heads
    config = pictures()
    full = mmsdk.train(config, data, out=tmp_path / "full")
    said = capsys.readouterr().err
    assert ", 8 decoded once, the others each time: the cache is full, see MMSDK_CACHE_GB" in said
    assert same(full, without)


def test_a_folder_that_cannot_be_written_costs_time_alone(
    data: Any, tmp_path: Path, own_folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    own_folder.parent.write_text("a file in the way")
    mmsdk.train(pictures(), data, out=tmp_path / "run")
    assert "the files of 'image' are decoded each time: " in capsys.readouterr().err


@pytest.mark.parametrize("damage", [lambda data: data[:99], lambda data: b""])
def test_damaged_shards_are_decoded_again(data: Any, tmp_path: Path, own_folder: Folder, damage: Any) -> None:
    first = train(tmp_path / "first", pictures(), data)
    (shard,) = own_folder.glob("*/*.safetensors")
    shard.write_bytes(damage(shard.read_bytes()))
    assert same(train(tmp_path / "again", pictures(), data), first)
    assert len(list(own_folder.glob("*/*.safetensors"))) == 1


def test_bad_files_are_told_as_ever(data: Any, tmp_path: Path) -> None:
    data["train"][3]["image"] = str(tmp_path / "absent.png")
    (tmp_path / "5.png").write_text("no picture")
    for cache in (True, False):
        done = train(tmp_path / str(cache), pictures(on_error="skip", decoded_cache=cache), data)
        told = (done.run / "bad_samples.jsonl").read_text()
        assert "train3" in told and "there is no file" in told and "train5" in told and "it is no image" in told
    with pytest.raises(mmsdk.DecodeError, match="'image'"):
        train(tmp_path / "raise", pictures(), data)


def test_lists_of_files_are_kept_too(data: Any, tmp_path: Path, decodes: list[Path]) -> None:
    config = {
        "streams": {
            "photos": {
                "modality": {"type": "each", "of": {"type": "image", "size": 8}},
                "encoder": {"type": "each", "of": {"type": "cnn", "width": 8, "layers": 1}},
            }
        },
        "heads": {"kind": {"type": "classification", "target": "kind", "reads": ["photos"]}},
    }
    (port,) = Modalities(checked := mmsdk.load_config(config)).stream_ports
    lists = [["1.png", None, "2.png"], ["3.png"], ["0.png"] * 12]
    rows = [Row(str(place), {"photos": value}, tmp_path) for place, value in enumerate(lists)]
    expected = port.modality.collate([port.prepare(row, port.raw(row)) for row in rows])
    modality = checked.streams["photos"].modality
    assert modality is not None
    assert Decoded(modality, port.modality).fill(port, rows)[:2] == (0, 3)
    decoded, before = Decoded(modality, port.modality), len(decodes)
    assert decoded.fill(port, rows)[:2] == (3, 0)
    items = [port._replace(decoded=decoded).prepare(row, port.raw(row)) for row in rows]
    assert len(decodes) == before
    found = port.modality.collate(items)
    assert found.keys() == expected.keys() and all(torch.equal(found[key], expected[key]) for key in found)


def test_other_settings_and_other_code_have_folders_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {Decoded(config, config.build()).store.folder for config in (ImageConfig(size=8), ImageConfig(size=9))}
    monkeypatch.setattr(code, "_package", lambda name: "another")
    names.add(Decoded(ImageConfig(size=8), Image(8)).store.folder)
    monkeypatch.setattr(code, "_requirements", lambda name: "pillow 99")
    names.add(Decoded(ImageConfig(size=8), Image(8)).store.folder)
    assert len(names) == 4


class NotebookConfig(mmsdk.ModalityConfig):
    """A modality as if it had been written in a notebook."""

    type: Literal["notebook"] = "notebook"


def test_code_without_a_file_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert code_key(NotebookConfig()) == code_key(NotebookConfig())
    monkeypatch.setattr(NotebookConfig, "__module__", "builtins")
    with pytest.raises(TypeError, match="the code of 'builtins' is in no file"):
        code_key(NotebookConfig())


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(TypeError):
        as_record({"words": np.array(["a"])})


def test_a_mistake_in_pack_names_the_modality(data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pack(self: Image, item: Any) -> Mapping[str, Any]:
        raise KeyError("q")

    monkeypatch.setattr(Image, "pack", pack)
    with pytest.raises(mmsdk.PluginError, match=r"Image\.pack failed with KeyError"):
        train(tmp_path / "run", pictures(), data)
