"""Zero-shot classification: the nearest label, over the mean of its templates."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from mmsdk import ConfigError, DecodeError, Pipeline, Row
from mmsdk_retrieval import Classified, zero_shot

from .conftest import COLOURS


def test_each_square_gets_the_name_of_its_colour(pipeline: Pipeline, rows: list[Row]) -> None:
    found = list(zero_shot(pipeline, list(COLOURS), ["a {} square"])(rows))
    assert [each.label for each in found] == [each.id for each in found] == list(COLOURS)
    assert all(each.similarities is not None and list(each.similarities) == list(COLOURS) for each in found)
    assert found[0].similarities is not None and max(found[0].similarities.values()) == found[0].similarities["red"]


def test_a_label_is_the_mean_over_its_templates(pipeline: Pipeline) -> None:
    classifier = zero_shot(pipeline, ["red", "blue"], ["a {} square", "square {}, {}"])
    texts = ["a red square", "square red, red", "a blue square", "square blue, blue"]
    vectors = pipeline.embed([{"caption": text} for text in texts])["text"]
    by_hand = [F.normalize(vectors[place : place + 2].mean(dim=0), dim=0) for place in (0, 2)]
    assert torch.allclose(classifier.vectors, torch.stack(by_hand), atol=1e-6)


def test_other_directions_and_absent_streams(pipeline: Pipeline) -> None:
    assert list(zero_shot(pipeline, ["red"])([{"id": "a", "caption": "red"}])) == [Classified("a", None, None)]
    (same,) = zero_shot(pipeline, ["a blue square", "a red square"], ["{}"], of="text")([{"caption": "a red square"}])
    assert same.label == "a red square" and same.similarities is not None
    assert same.similarities["a red square"] == pytest.approx(1, abs=1e-5)
    (first,) = zero_shot(pipeline, ["zzz", "yyy"], ["{}"], of="text")([{"caption": "red"}])  # both unknown words
    assert first.label == "zzz"


def test_braces_are_no_format(pipeline: Pipeline) -> None:
    assert zero_shot(pipeline, ["red"], ["{0.__class__} {} {name}"]).vectors.isfinite().all()


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        (["red"], {"templates": ["a square"]}, "'a square' has no {} where the label goes; write such as 'a picture"),
        (["red"], {"templates": []}, "Give at least one template"),
        ([], {}, "found nothing"),
        (["red", "red"], {}, "labels that differ from one another.*'red', 'red'"),
        (["red", " "], {}, "labels that differ"),
        (["red"], {"by": "txt"}, r"'txt' is not compared by the head. Did you mean 'text'\?"),
        (["red"], {"of": "picture"}, "Choose among 'image', 'text'"),
        (["red"], {"head": "m"}, "There is no head 'm'"),
    ],
)
def test_mistakes(pipeline: Pipeline, labels: list[str], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        zero_shot(pipeline, labels, **options)


def test_bad_samples_are_raised_or_listed(pipeline: Pipeline, rows: list[Row]) -> None:
    classifier = zero_shot(pipeline, list(COLOURS))
    samples = [rows[0], {"id": "bad", "image": "nowhere.png"}]
    with pytest.raises(DecodeError, match=r"nowhere\.png"):
        list(classifier(samples))
    skipped: list[DecodeError] = []
    assert [each.id for each in classifier(samples, skipped=skipped)] == ["red"]
    assert [error.sample for error in skipped] == ["bad"]
