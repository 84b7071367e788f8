"""An index as a folder: the same after loading; a damaged, forged or foreign one is told, and nothing else is lost."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mmsdk import CheckpointError, Pipeline
from mmsdk_retrieval import Index

FILES = ["index.json", "rows.jsonl", "vectors.safetensors"]


def reseal(folder: Path) -> None:
    """What a forger can do: a manifest that fits."""
    entries = {
        name: {
            "size": (folder / name).stat().st_size,
            "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest(),
        }
        for name in FILES
    }
    (folder / "MANIFEST.json").write_text(json.dumps({"files": entries}))


@pytest.fixture
def saved(index: Index, tmp_path: Path) -> Path:
    return index.save(tmp_path / "saved")


def test_an_index_comes_back_as_it_was(saved: Path, index: Index, pipeline: Pipeline) -> None:
    loaded = Index.load(saved)
    assert (loaded.header, loaded.lines) == (index.header, index.lines)
    assert all(torch.equal(part, index.vectors[name]) for name, part in loaded.vectors.items())
    assert loaded.search(pipeline, {"text": "red"}) == index.search(pipeline, {"text": "red"})
    assert sorted(path.name for path in saved.iterdir()) == sorted([*FILES, "MANIFEST.json"])


def test_saving_replaces_an_index_and_nothing_else(saved: Path, index: Index, tmp_path: Path) -> None:
    index.delete(["red"])
    index.save(saved)
    assert len(Index.load(saved)) == 8
    (tmp_path / "empty").mkdir()
    assert len(Index.load(index.save(tmp_path / "empty"))) == 8
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letters.txt").write_text("dear")
    for folder in (tmp_path / "mine", tmp_path / "mine/letters.txt"):
        with pytest.raises(CheckpointError, match="exists and is no index"):
            index.save(folder)
    assert (tmp_path / "mine/letters.txt").read_text() == "dear"


def test_an_index_that_was_being_replaced_is_still_there(saved: Path) -> None:
    saved.rename(saved.with_name(".replaced-saved"))
    assert len(Index.load(saved)) == 9


def test_what_is_no_index(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nowhere: there is no index\. Make one: mmsdk index RUN"):
        Index.load(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"no index, or damaged: .*there is no MANIFEST\.json"):
        Index.load(tmp_path)


def header(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def forge(folder: Path) -> None:
        content = json.loads((folder / "index.json").read_text())
        change(content)
        (folder / "index.json").write_text(json.dumps(content))

    return forge


def vectors(change: Callable[[dict[str, torch.Tensor]], Any]) -> Callable[[Path], None]:
    def forge(folder: Path) -> None:
        parts = load_file(folder / "vectors.safetensors")
        change(parts)
        save_file(parts, folder / "vectors.safetensors")

    return forge


def lines(change: Callable[[list[str]], list[str]]) -> Callable[[Path], None]:
    def forge(folder: Path) -> None:
        path = folder / "rows.jsonl"
        path.write_text("".join(line + "\n" for line in change(path.read_text().splitlines())))

    return forge


FORGED = {
    "another format": (header(lambda own: own.update(format=2)), "format: Input should be 1"),
    "unknown keys": (header(lambda own: own.update(code="import os")), "code: Extra inputs are not permitted"),
    "other streams": (header(lambda own: own.update(streams=["image"])), "but vectors of"),
    "no streams": (header(lambda own: own.update(streams=[])), "streams: List should have at least 1 item"),
    "nan": (vectors(lambda own: own["text"].fill_(float("nan"))), "vectors of 'text' have not the length 1"),
    "too long": (vectors(lambda own: own["text"].mul_(9)), "vectors of 'text' have not the length 1"),
    "fewer rows": (vectors(lambda own: own.update(text=own["text"][:3].clone())), r"vectors of 'text' are \[3, 8\]"),
    "whole numbers": (vectors(lambda own: own.update(text=own["text"].long())), "torch.int64"),
    "one axis": (vectors(lambda own: own.update(text=torch.zeros(9))), r"are \[9\] "),
    "an id twice": (lines(lambda own: [*own[:-1], own[0]]), "the id 'red' is there twice"),
    "no id": (lines(lambda own: ['{"values": {}}', *own[1:]]), "id: Field required"),
    "a number": (lines(lambda own: ["3", *own[1:]]), "Input should be a valid dictionary"),
    "no JSON": (lines(lambda own: ["{", *own[1:]]), "Expecting property name"),
    "deep": (lines(lambda own: ["[" * 100_000, *own[1:]]), "recursion"),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_index_is_told(name: str, saved: Path) -> None:
    forge, message = FORGED[name]
    forge(saved)
    with pytest.raises(CheckpointError, match="damaged: its content is not what was written"):
        Index.load(saved)
    reseal(saved)
    with pytest.raises(CheckpointError, match=f"no index, or damaged: .*{message}.*Make one: mmsdk index"):
        Index.load(saved)


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    place = int(rng.integers(0, len(changed)))
    kind = rng.integers(0, 4)
    if kind == 0:
        changed[place] ^= 1 << int(rng.integers(0, 8))
    elif kind == 1:
        del changed[place:]
    elif kind == 2:
        changed[place : place + 4] = b"\xff\xff\xff\xff"
    else:
        changed[place:place] = changed[: int(rng.integers(1, 40))]
    return bytes(changed)


def test_mutated_files_are_an_error_or_a_sound_index(saved: Path, pipeline: Pipeline, tmp_path: Path) -> None:
    """Behind a manifest that fits. What still opens is whole: unit vectors, ids that differ, as many as there are."""
    rng = np.random.default_rng(0)
    opened = refused = 0
    for number in range(150):
        folder = shutil.copytree(saved, tmp_path / str(number))
        file = folder / FILES[number % 3]
        file.write_bytes(mutated(file.read_bytes(), rng))
        if number % 2:
            reseal(folder)
        try:
            index = Index.load(folder)
        except CheckpointError as error:
            assert str(folder) in str(error) and "Make one" in str(error)
            refused += 1
            continue
        opened += 1
        assert number % 2 and len(set(index.ids)) == len(index)
        assert all(part.isfinite().all() and len(part) == len(index) for part in index.vectors.values())
    assert refused > 100 and opened > 3
