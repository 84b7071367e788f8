"""Folders that are whole or as they were: whatever call fails, whenever the process dies, whatever byte is flipped."""

from __future__ import annotations

import io
import json
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmsdk.errors import CheckpointError
from mmsdk.folders import MANIFEST, load_tree, save_tree, standing, sweep, verify_folder, write_folder
from tests.faults.tally import Tally

CALLS = [(os, name) for name in ("open", "fsync", "mkdir", "rename", "unlink", "rmdir")] + [(io, "open")]
TREE = {"numbers": torch.arange(1000.0), "text": "old"}


def fill(text: str) -> Callable[[Path], None]:
    def filling(folder: Path) -> None:
        save_tree(TREE | {"text": text}, folder / "tree")
        (folder / "inner").mkdir()
        (folder / "inner" / "note.txt").write_text(text)

    return filling


def content(folder: Path) -> str:
    """What `fill` was told; fails where the folder is not whole."""
    verify_folder(folder)
    note: str = (folder / "inner" / "note.txt").read_text()
    assert load_tree(folder / "tree")["text"] == note
    return note


@contextmanager
def counted(patch: pytest.MonkeyPatch, at: Callable[[int], None]) -> Iterator[None]:
    """Have `at` called with 1, 2, ... before each call that changes the disk."""
    numbers = count(1)

    def call(plain: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        at(next(numbers))
        return plain(*arguments, **named)

    with patch.context() as inner:
        for module, name in CALLS:
            inner.setattr(module, name, partial(call, getattr(module, name)))
        yield


def calls(patch: pytest.MonkeyPatch, folder: Path) -> int:
    """How many such calls it takes to write the folder anew."""
    seen: list[int] = []
    with counted(patch, seen.append):
        write_folder(folder, fill("counted"))
    return len(seen)


@pytest.fixture(params=["new", "replaced"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where a folder goes: to an empty place, or to that of an old one."""
    folder = tmp_path / "here" / "folder"
    folder.parent.mkdir()
    again(folder, old=request.param == "replaced")
    return folder


def again(folder: Path, old: bool) -> None:
    """As the fixture left it."""
    shutil.rmtree(folder.parent)
    folder.parent.mkdir()
    if old:
        write_folder(folder, fill("old"))


def test_a_folder_is_whole(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    assert write_folder(folder, fill("new")) == folder
    assert content(folder) == "new"
    assert os.listdir(folder.parent) == ["b"]
    files = json.loads((folder / MANIFEST).read_text())["files"]
    assert sorted(files) == ["inner/note.txt", "tree.json", "tree.safetensors"]


@pytest.mark.faults("F2")
def test_whatever_call_fails_the_folder_is_whole_or_as_it_was(
    tally: Tally, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = folder.exists()
    most, failed = calls(monkeypatch, folder), 0

    def fail(number: int, now: int) -> None:
        if now == number:
            raise OSError(28, "No space left on device")

    for number in range(1, most + 1):
        again(folder, old)
        with counted(monkeypatch, partial(fail, number)):
            try:
                write_folder(folder, fill("new"))
            except CheckpointError as error:
                failed += 1
                assert str(folder) in str(error) and "No space left" in str(error) and "--resume" in str(error)
        sweep(folder.parent)
        with tally.case(f"call {number} of {most}"):
            assert (content(folder) if folder.exists() else None) in ("new", "old" if old else None)
            assert os.listdir(folder.parent) in ([folder.name], [])
            assert content(write_folder(folder, fill("later"))) == "later"
    assert failed > most / 2, "what fails goes unnoticed"


@pytest.mark.faults("F2")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_whenever_the_process_dies_the_folder_is_whole_or_as_it_was(
    tally: Tally, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, ends = folder.exists(), []

    def die(number: int, now: int) -> None:
        if now == number:
            os._exit(9)

    for number in range(1, calls(monkeypatch, folder) + 1):
        again(folder, old)
        child = os.fork()
        if child == 0:
            with counted(monkeypatch, partial(die, number)), suppress(BaseException):
                write_folder(folder, fill("new"))
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        with tally.case(f"call {number}"):
            assert not standing(folder).exists() or content(standing(folder)) in ("old", "new")
        sweep(folder.parent)
        ends.append(content(folder) if folder.exists() else None)
        assert os.listdir(folder.parent) in ([folder.name], [])
    before = "old" if old else None
    assert ends == sorted(ends, key=lambda end: end == "new"), "once it is there, it stays"
    assert set(ends) == {before, "new"}


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    """As the operating system tells it: no file may grow beyond some bytes. Safetensors meets that in its own way."""
    write_folder(tmp_path / "folder", fill("old"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises(CheckpointError, match=r"cannot be written: .*large.*Make room"):
            write_folder(tmp_path / "folder", fill("new"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert content(tmp_path / "folder") == "old"
    assert os.listdir(tmp_path) == ["folder"]


def test_what_a_filling_raises_is_passed_on(tmp_path: Path) -> None:
    def broken(folder: Path) -> None:
        (folder / "file").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_folder(tmp_path / "folder", broken)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("name", ["inner/note.txt", "tree.json", "tree.safetensors", MANIFEST])
def test_any_damage_is_found(tmp_path: Path, name: str) -> None:
    rng = np.random.default_rng(0)
    folder = write_folder(tmp_path / "folder", fill("some text that can be damaged"))
    whole = (folder / name).read_bytes()
    damaged = [b"", whole[:-1], whole[: len(whole) // 2], whole + b" x"]
    for place in rng.integers(len(whole), size=40):
        damaged.append(whole[:place] + bytes([whole[place] ^ 1 << int(rng.integers(8))]) + whole[place + 1 :])
    for each in damaged:
        (folder / name).write_bytes(each)
        with pytest.raises(CheckpointError):
            verify_folder(folder)
    (folder / name).write_bytes(whole)
    verify_folder(folder)
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=Path(name).name):
        verify_folder(folder)


def test_files_that_were_added_are_found(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "folder", fill("text"))
    (folder / "inner" / "more.txt").write_text("x")
    with pytest.raises(CheckpointError, match=r"more.txt: not in the manifest"):
        verify_folder(folder)
    verify_folder(folder, ["tree.json", "tree.safetensors"])


@pytest.mark.parametrize("manifest", ["", "[]", '{"files": []}', '{"files": {"a": 1}}', '{"files": 1}', "\ud800"])
def test_a_manifest_that_is_none(tmp_path: Path, manifest: str) -> None:
    (tmp_path / MANIFEST).write_bytes(manifest.encode("utf-8", "surrogatepass"))
    (tmp_path / "a").write_text("x")
    with pytest.raises(CheckpointError, match=r"MANIFEST.json: damaged|a: not in the manifest|a: damaged"):
        verify_folder(tmp_path)


def test_sweeping_leaves_everything_else(tmp_path: Path) -> None:
    for name in ("other", ".hidden", "old-x"):
        (tmp_path / name).mkdir()
    write_folder(tmp_path / "folder", fill("new"))
    (tmp_path / "folder").rename(tmp_path / ".replaced-folder")
    (tmp_path / ".writing-other").mkdir()
    sweep(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".hidden", "folder", "old-x", "other"]
    assert content(tmp_path / "folder") == "new"
    sweep(tmp_path / "nothing here")


def test_trees_come_back(tmp_path: Path) -> None:
    tensors = [torch.tensor(3), torch.zeros(0, 2), torch.tensor([True]), torch.arange(6.0).view(2, 3).T]
    tree = {
        "tensors": tensors,
        "half": torch.ones(2, dtype=torch.bfloat16),
        "array": np.arange(4)[::2],
        "tied": [tensors[0], tensors[0]],
        "plain": {"text": "ü\u2028", "none": None, "number": 0.1, "list": [1, [2]]},
    }
    save_tree(tree, tmp_path / "tree")
    found = load_tree(tmp_path / "tree")
    assert found["plain"] == tree["plain"]
    for one, other in zip(found["tensors"], tensors, strict=True):
        assert one.dtype is other.dtype and torch.equal(one, other)
    assert found["half"].dtype is torch.bfloat16
    assert found["array"].tolist() == [0, 2]
    assert found["tied"] == [3, 3]


@pytest.mark.parametrize("damage", ["tree.json", "tree.safetensors"])
def test_a_tree_that_is_damaged(tmp_path: Path, damage: str) -> None:
    save_tree({"a": torch.ones(3)}, tmp_path / "tree")
    (tmp_path / damage).write_bytes((tmp_path / damage).read_bytes()[:-9])
    with pytest.raises(CheckpointError, match=r"tree.*: (damaged|cannot be read)"):
        load_tree(tmp_path / "tree")
