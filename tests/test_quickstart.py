"""The quickstart: its data say little through one stream alone, and it reaches its figure."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from mmsdk.config.file import load_config
from mmsdk.data.splits import load_splits
from mmsdk.errors import DataError
from mmsdk.quickstart.digits import ABSENT, SPLITS, write_data
from mmsdk.quickstart.floors import complete, floors
from mmsdk.quickstart.walk import walk


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quickstart")
    write_data(folder)
    (folder / "pipeline.yaml").write_text((Path(__file__).parent.parent / "mmsdk/quickstart/pipeline.yaml").read_text())
    return folder


def rows(folder: Path, name: str = "samples") -> list[dict[str, str]]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]


def test_pictures_stay_in_one_split(folder: Path) -> None:
    splits: dict[str, set[str]] = defaultdict(set)
    for row in rows(folder) + rows(folder, "pairs"):
        if "image" in row:
            splits[row["image"]].add(row["split"])
    assert len(splits) == sum(len(numbers) for numbers in SPLITS.values()) == 1797
    assert all(len(own) == 1 for own in splits.values())


def test_the_share_of_rows_with_one_stream_absent_is_as_said(folder: Path) -> None:
    absent = [len({"image", "text"} - set(row)) for row in rows(folder)]
    assert max(absent) == 1
    assert sum(absent) / len(absent) == pytest.approx(ABSENT, abs=0.01)


def test_yes_and_no_are_balanced_given_the_picture_and_given_the_question(folder: Path) -> None:
    by_question: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows(folder):
        if "text" in row and row["answer"] in ("yes", "no"):
            by_question[row["text"]][row["answer"]] += 1
    most_likely = sum(max(answers.values()) for answers in by_question.values())
    assert most_likely / sum(sum(answers.values()) for answers in by_question.values()) < 0.6


def test_either_stream_alone_stays_below_its_bound(folder: Path) -> None:
    data = load_config(folder / "pipeline.yaml").data
    assert data is not None
    splits = load_splits(data)
    assert len(complete(splits["test"])) < len(splits["test"])
    assert max(floors(splits["train"], splits["test"]).values()) < 0.70


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(DataError, match="--out"):
        walk(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_it_reaches_its_figure(tmp_path: Path) -> None:
    result = walk(tmp_path / "quickstart")
    table = result["accuracy"]
    assert table["answer"]["complete"] >= 0.97
    assert max(table["image_alone"]["complete"], table["text_alone"]["complete"], *result["floors"].values()) < 0.70
    assert table["answer"]["image absent"] < 0.70 > table["answer"]["text absent"]
    assert (tmp_path / "quickstart/run/curve.png").stat().st_size > 10_000
