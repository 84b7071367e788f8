"""An index: built, searched by each stream and by several, appended to, deleted from; mistakes and their mends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mmsdk import CheckpointError, ConfigError, DataError, DecodeError, Pipeline, Row, Skipped
from mmsdk_retrieval import Hit, Index, reciprocal_rank_fusion

from .conftest import COLOURS


def test_each_square_is_found_by_its_name_and_each_name_by_its_square(
    index: Index, pipeline: Pipeline, squares: Path
) -> None:
    for name in COLOURS:
        best, *others = index.search(pipeline, {"text": f"a {name} square"})
        assert (best.rank, best.id, len(others)) == (1, name, len(COLOURS) - 1)
        assert best.score > others[0].score and best.values["image"] == str(squares.parent / f"{name}.png")
        image = Image.open(squares.parent / f"{name}.png")
        assert index.search(pipeline, {"image": image}, within="text", k=1)[0].id == name


def test_scores_are_cosines(index: Index, pipeline: Pipeline) -> None:
    query = pipeline.embed({"caption": "red"})["text"][0]
    (hit,) = index.search(pipeline, {"text": "red"}, k=1)
    row = index.vectors["image"][index.ids.index(hit.id)]
    assert hit.score == pytest.approx(float(row @ query), abs=1e-6)


def test_several_queries_are_joined(index: Index, pipeline: Pipeline, squares: Path) -> None:
    image = str(squares.parent / "red.png")
    both = index.search(pipeline, {"text": "a red square", "image": image}, within="image", k=3)
    assert both == index.search(pipeline, [{"text": "a red square"}, {"image": image}], within="image", k=3)
    assert both[0] == Hit(1, "red", pytest.approx(2 / 61), both[0].values)
    texts = [{"text": "a red square"}, {"text": "a blue square"}]
    single = [[hit.id for hit in index.search(pipeline, text, within="text")] for text in texts]
    joined = index.search(pipeline, texts, within="text")
    assert {hit.id: pytest.approx(hit.score) for hit in joined} == dict(reciprocal_rank_fusion(single))


def test_rows_are_appended_and_deleted(pipeline: Pipeline, rows: list[Row], index: Index) -> None:
    grown = Index.build(pipeline, rows[:4])
    assert len(grown) == 4 and grown.search(pipeline, {"text": "a grey square"}, k=1)[0].id != "grey"
    assert grown.append(pipeline, rows[4:]) == 5
    assert grown.ids == index.ids
    assert all(torch.allclose(part, index.vectors[name], atol=1e-6) for name, part in grown.vectors.items())
    assert grown.search(pipeline, {"text": "a grey square"}, k=1)[0].id == "grey"
    assert grown.delete(["grey", "red"]) == 2 and len(grown) == 7
    found = grown.search(pipeline, {"text": "a grey square"})
    assert len(found) == 7 and not {"grey", "red"} & {hit.id for hit in found}


def test_rows_without_a_stream_are_not_found_in_it(pipeline: Pipeline, rows: list[Row]) -> None:
    index = Index.build(pipeline, [*rows[:3], {"id": "words", "caption": "a red square"}, {"id": "nothing"}])
    assert index.ids == ["red", "green", "blue", "words"]
    assert index.search(pipeline, {"text": "red"}, within="image", k=1)[0].id == "red"
    assert len(index.search(pipeline, {"text": "red"}, within="image")) == 3
    assert len(index.search(pipeline, {"text": "red"}, within="text")) == 4
    texts = Index.build(pipeline, [{"caption": "red"}])
    with pytest.raises(DataError, match="No row of the index has 'image'"):
        texts.search(pipeline, {"text": "red"}, within="image")


def test_streams_can_be_chosen(pipeline: Pipeline, rows: list[Row]) -> None:
    index = Index.build(pipeline, rows, streams=["image"])
    assert list(index.vectors) == ["image"]
    assert index.search(pipeline, {"text": "a blue square"}, k=1)[0].id == "blue"
    with pytest.raises(ConfigError, match=r"does not hold the stream 'text'\. Choose among 'image'"):
        index.search(pipeline, {"text": "red"}, within="text")


def test_values_that_are_no_json_are_left_out(pipeline: Pipeline) -> None:
    image = Image.new("RGB", (8, 8), "red")
    samples = [{"id": "a", "image": image, "caption": "red", "price": 3, "ratio": float("inf"), "tags": ["x"]}]
    assert Index.build(pipeline, samples).lines[0].values == {"id": "a", "caption": "red", "price": 3, "tags": ["x"]}


@pytest.mark.parametrize(
    ("query", "options", "message"),
    [
        ({"txt": "red"}, {}, r"No query in 'txt': the pipeline has no such stream. Did you mean 'text'\?"),
        ({"caption": "red"}, {}, "That is the column of the stream 'text'"),
        ({"text": "  "}, {}, "The query text='  ' is empty"),
        ({}, {"within": "image"}, "There is no query"),
        ({"text": "red"}, {"k": 10}, "10 results of 9 rows with 'image' are wanted: ask for 1 to 9"),
        ({"text": "red"}, {"k": 0}, "0 results of 9 rows"),
        ({"text": "red"}, {"within": "imge"}, "does not hold the stream 'imge'. Did you mean 'image'"),
        (
            {"text": "red", "image": np.zeros((8, 8, 3))},
            {},
            "Say which stream is to be searched: the index holds 'image', 'text'",
        ),
    ],
)
def test_queries_that_cannot_be_answered(
    index: Index, pipeline: Pipeline, query: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        index.search(pipeline, query, **options)


def test_a_query_that_cannot_be_read(index: Index, pipeline: Pipeline) -> None:
    with pytest.raises(DecodeError, match=r"'query image': 'image': .*nowhere\.png"):
        index.search(pipeline, {"image": "nowhere.png"})


def test_another_model_is_refused(index: Index, run: Path) -> None:
    other = Pipeline.load(run)
    with torch.no_grad():
        next(other.heads["match"].parameters())[0] += 1e-6
    for use in (lambda: index.search(other, {"text": "red"}), lambda: index.append(other, [{"caption": "red"}])):
        with pytest.raises(CheckpointError, match=r"made with another pipeline, .*squares: .*index the data anew"):
            use()


def test_ids_given_twice_are_refused_and_nothing_changes(index: Index, pipeline: Pipeline, rows: list[Row]) -> None:
    with pytest.raises(DataError, match="The id 'red' comes twice"):
        index.append(pipeline, [{"id": "new", "caption": "new"}, rows[0]])
    with pytest.raises(DataError, match="The id 'x' comes twice"):
        Index.build(pipeline, [{"id": "x", "caption": "red"}, {"id": "x", "caption": "blue"}])
    with pytest.raises(DataError, match="No row of this index, which has 9, is called 'rad', 'rod'"):
        index.delete(["red", "rod", "rad"])
    assert index.ids == list(COLOURS)


def test_an_empty_index_says_so(index: Index, pipeline: Pipeline) -> None:
    index.delete(index.ids)
    with pytest.raises(DataError, match="The index is empty"):
        index.search(pipeline, {"text": "red"})
    for samples in ([], [{"id": "a", "picture": "red.png"}]):
        with pytest.raises(DataError, match="no readable sample has a value in 'image', 'caption'"):
            Index.build(pipeline, samples)
    with pytest.raises(ConfigError, match=r"does not compare 'picture'. Choose among 'image', 'text'"):
        Index.build(pipeline, [], streams=["picture"])


def test_bad_samples_are_left_out_within_the_budget(pipeline: Pipeline, rows: list[Row], tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes((rows[0].folder / "red.png").read_bytes()[:40])  # type: ignore[operator]
    bad = [{"id": f"bad{number}", "image": str(damaged), "caption": "red"} for number in range(11)]
    skipped = Skipped(len(rows) + 2)
    index = Index.build(pipeline, [bad[0], *rows, bad[1]], skipped=skipped)
    assert index.ids == list(COLOURS) and [error.sample for error in skipped] == ["bad0", "bad1"]
    with pytest.raises(DecodeError, match=r"'bad0': 'image': .*damaged\.png"):
        Index.build(pipeline, [*rows, bad[0]])
    with pytest.raises(DataError, match=r"11 of 20 samples cannot be read, the budget is 10; the last one: .*'bad10'"):
        Index.build(pipeline, [*rows, *bad], skipped=Skipped(20))
