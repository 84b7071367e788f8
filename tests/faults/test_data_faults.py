"""F10: samples that cannot be read, and tables that are cut: each is named, and none is lost in silence."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import mmsdk
from mmsdk.errors import DataError, DecodeError, TrainingError
from mmsdk.training import loop as training
from mmsdk.training import steps
from tests.faults.tally import Tally
from tests.programs import made_up

ROWS, EPOCHS, BUDGET = 40, 2, 10


@pytest.fixture(autouse=True)
def no_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "draw_curve", lambda entries, path: False)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each sample was trained with."""
    found: Counter[str] = Counter()
    plain = steps.to_device

    def counting(batch: Any, device: Any) -> Any:
        read = [any(rows[place] >= 0 for rows in batch.rows.values()) for place in range(len(batch.ids))]
        found.update(name for name, is_there in zip(batch.ids, read, strict=True) if is_there)
        return plain(batch, device)

    monkeypatch.setattr(steps, "to_device", counting)
    return found


def written(folder: Path) -> list[dict[str, Any]]:
    """Rows with a picture each, in files."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = [row for row in made_up.samples(ROWS, absent=0.0, untold=0.0)]
    for number, row in enumerate(rows):
        row["image"] = f"{number}.png"
        Image.fromarray(rng.integers(255, size=(12, 12, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return rows


def table(folder: Path, rows: list[dict[str, Any]], **training: Any) -> made_up.Config:
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = made_up.pipeline(**{"epochs": EPOCHS, "on_error": "skip", **training})
    return config | {"data": {"train": str(folder / "train.jsonl")}}


def cut(path: Path, row: dict[str, Any]) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path, row: dict[str, Any]) -> None:
    path.write_bytes(b"")


def remove(path: Path, row: dict[str, Any]) -> None:
    path.unlink()


def noise(path: Path, row: dict[str, Any]) -> None:
    path.write_bytes(bytes(range(256)))


def another_kind(path: Path, row: dict[str, Any]) -> None:
    path.write_text("no picture at all")


def a_folder(path: Path, row: dict[str, Any]) -> None:
    path.unlink()
    path.mkdir()


def too_few_numbers(path: Path, row: dict[str, Any]) -> None:
    row["numbers"] = [1.0, 2.0]


def text_for_numbers(path: Path, row: dict[str, Any]) -> None:
    row["numbers"] = "three"


DAMAGES: list[Callable[[Path, dict[str, Any]], None]] = [
    cut,
    empty,
    remove,
    noise,
    another_kind,
    a_folder,
    too_few_numbers,
    text_for_numbers,
]


@pytest.mark.faults("F10")
def test_seen_and_skipped_make_all(tally: Tally, seen: Counter[str], tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for number in range(tally.size(len(DAMAGES), 240)):
        folder, damage = tmp_path / f"{number}", DAMAGES[number % len(DAMAGES)]
        rows = written(folder)
        bad = rng.choice(ROWS, size=int(rng.integers(1, BUDGET + 1)), replace=False)
        for place in bad:
            damage(folder / f"{place}.png", rows[place])
        seen.clear()
        with tally.case(f"{damage.__name__} of {len(bad)} samples"):
            mmsdk.train(table(folder, rows), out=folder / "run", show=False)
            lines = (folder / "run" / "bad_samples.jsonl").read_text().splitlines()
            skipped = [json.loads(line)["id"] for line in lines]
            assert sorted(skipped) == sorted(rows[place]["id"] for place in bad), "each is listed, and once"
            assert seen == {row["id"]: EPOCHS for row in rows if row["id"] not in skipped}


@pytest.mark.faults("F10")
@pytest.mark.parametrize("damage", DAMAGES)
def test_without_skipping_the_sample_is_named(tmp_path: Path, damage: Callable[[Path, dict[str, Any]], None]) -> None:
    rows = written(tmp_path / "data")
    damage(tmp_path / "data" / "7.png", rows[7])
    with pytest.raises(DecodeError, match=f"sample '{rows[7]['id']}'"):
        mmsdk.train(table(tmp_path / "data", rows, on_error="raise"), out=tmp_path / "run", show=False)


@pytest.mark.faults("F10")
def test_the_budget(tmp_path: Path) -> None:
    rows = written(tmp_path / "data")
    for place in range(BUDGET + 1):
        (tmp_path / "data" / f"{place}.png").unlink()
    with pytest.raises(TrainingError, match=r"11 samples cannot be read, the budget is 10: see .*bad_samples.jsonl"):
        mmsdk.train(table(tmp_path / "data", rows), out=tmp_path / "run", show=False)


@pytest.mark.faults("F10")
@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("cut.jsonl", '{"id": "1", "text": "red"}\n{"id": "2", "te', r"cut.jsonl:2"),
        ("list.jsonl", '{"id": "1", "text": "red"}\n[1]\n', r"list.jsonl:2"),
        ("empty.jsonl", "", r"empty.jsonl|nothing to train on"),
        ("cut.csv", 'id,text\n1,red\n2,"gre', r"cut.csv"),
        ("long.csv", "id,text\n1,red\n2,green,blue\n", r"long.csv:3"),
        ("binary.csv", "id,text\n1,\udcff\udcfe\n", r"binary.csv"),
    ],
)
def test_tables(tmp_path: Path, name: str, content: str, says: str) -> None:
    (tmp_path / name).write_bytes(content.encode("utf-8", "surrogateescape"))
    config = made_up.pipeline() | {"data": {"train": str(tmp_path / name)}}
    with pytest.raises(DataError, match=says):
        mmsdk.train(config, out=tmp_path / "run", show=False)
