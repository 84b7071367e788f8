"""`mmsdk new` on real data: what it takes each column for; and, slow, what its config reaches untouched."""

from __future__ import annotations

from pathlib import Path

import pytest

import mmsdk
from mmsdk.scaffold.draft import Draft
from mmsdk.scaffold.pipeline import write_pipeline
from tests.test_examples import real


@pytest.mark.parametrize(
    ("name", "data", "streams", "target"),
    [
        ("classification", "avdigits", {"audio", "image"}, "label"),
        ("sentiment", "mosi", {"text"}, "label"),
        ("vqa", "easy-vqa", {"image", "question"}, "answer"),
        ("retrieval", "emoji", {"image", "caption"}, None),
        ("captioning", "emoji", {"image"}, "caption"),
        ("pretraining", "coco-photos", {"image", "caption"}, None),
        ("captioning", "coco-photos", {"image"}, "caption"),
    ],
)
def test_columns_are_what_their_authors_meant(
    name: str, data: str, streams: set[str], target: str | None, tmp_path: Path
) -> None:
    draft: Draft = write_pipeline(name, real(data) / "manifest.jsonl", tmp_path / name)
    config = mmsdk.load_config(tmp_path / name / "pipeline.yaml")
    assert set(config.streams) == streams and (draft.target and draft.target.column) == target
    assert config.data is not None and config.data.split_column == "split"


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(1800)
def test_avdigits_are_learned_as_it_is_written(tmp_path: Path) -> None:
    write_pipeline("classification", real("avdigits") / "manifest.jsonl", tmp_path / "new")
    trained = mmsdk.train(tmp_path / "new/pipeline.yaml", out=tmp_path / "run", show=False)
    assert trained.metrics["test_newspeaker/label/accuracy"] > 0.97  # logistic regression: 0.964
