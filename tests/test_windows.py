"""Predictions and embeddings of texts of all lengths: in the order of the rows, in batches that are padded little."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch

import mmsdk
from mmsdk.builtin.encoders.transformer import TransformerEncoder
from mmsdk.data import windows
from mmsdk.data.samples import as_row
from mmsdk.errors import DecodeError
from mmsdk.evaluation import measuring
from mmsdk.evaluation.measuring import computed, measure
from tests.programs import made_up

WORDS = ["red", "green", "blue", "circle", "square", "large", "small"]


def rows(count: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, size=min(40, int(rng.lognormal(2, 1)) + 1))) for _ in range(count)]
    return [
        {"id": f"{place}", "text": text, "numbers": rng.normal(size=5).tolist(), "colour": made_up.COLOURS[place % 3]}
        for place, text in enumerate(texts)
    ]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> mmsdk.Pipeline:
    config = made_up.pipeline()
    encoder = {"type": "transformer", "width": 8, "layers": 1, "heads": 2, "dropout": 0}
    config["streams"] = {
        "text": {"modality": "text", "encoder": encoder},
        "numbers": made_up.STREAMS["numbers"],
    }
    config["heads"] = {"match": made_up.MATCH, "colour": made_up.COLOUR}
    return mmsdk.train(config, rows(40), out=tmp_path_factory.mktemp("run"), show=False).pipeline


@pytest.fixture
def padded() -> Iterator[list[float]]:
    """Of each batch of texts that is encoded, which share is padding."""
    shares: list[float] = []
    forward = TransformerEncoder.forward

    def seeing(encoder: TransformerEncoder, inputs: Any) -> Any:
        shares.append(1 - float(inputs["mask"].float().mean()))
        return forward(encoder, inputs)

    with patch.object(TransformerEncoder, "forward", seeing):
        yield shares


def test_predictions_are_those_of_one_row_after_the_other(pipeline: mmsdk.Pipeline, padded: list[float]) -> None:
    given = rows(200)
    alone = [pipeline.predict(row)[0] for row in given]
    padded.clear()
    together = pipeline.predict(given, batch_size=16)
    assert [each.id for each in together] == [row["id"] for row in given]
    for one, other in zip(alone, together, strict=True):
        assert other["colour"].value == one["colour"].value
        assert other["colour"].scores == pytest.approx(one["colour"].scores, abs=1e-5)
    sorted_ = float(np.mean(padded))
    padded.clear()
    with patch.object(windows, "BATCHES", 1):
        pipeline.predict(given, batch_size=16)
    assert sorted_ < 0.5 * float(np.mean(padded))


def test_embeddings_are_those_of_one_row_after_the_other(pipeline: mmsdk.Pipeline) -> None:
    given = rows(200)
    together = pipeline.embed(given, batch_size=16)
    each = list(pipeline.embed_each(given, batch_size=16))
    for place, row in enumerate(given):
        for source, vectors in pipeline.embed(row).items():
            assert torch.allclose(together[source][place], vectors[0], atol=1e-5)
            assert torch.equal(each[place].vectors[source], together[source][place])
    assert [one.id for one in each] == [row["id"] for row in given]


def test_rows_that_share_a_value_stay_together(pipeline: mmsdk.Pipeline) -> None:
    """Many questions about one image: it is encoded once per batch, whatever the questions' lengths are."""
    shared = [[float(place)] * 5 for place in range(4)]
    given = [{**row, "numbers": shared[place // 16]} for place, row in enumerate(rows(64))]
    counts: list[int] = []
    encoder: Any = pipeline.encoders["numbers"]
    handle = encoder.register_forward_pre_hook(lambda module, given: counts.append(len(next(iter(given[0].values())))))
    try:
        pipeline.predict(given, batch_size=16)
    finally:
        handle.remove()
    assert counts == [1, 1, 1, 1]


def test_bad_samples_are_met_in_their_order(pipeline: mmsdk.Pipeline) -> None:
    given = rows(100)
    given[70] |= {"numbers": [1.0]}  # in a short row's batch, perhaps before the other one's
    given[20] |= {"numbers": [1.0], "text": " ".join(WORDS * 5)}
    results = pipeline.predict(given, batch_size=16)
    assert [place for place, result in enumerate(results) if result.error is not None] == [20, 70]
    with pytest.raises(DecodeError) as raised:
        pipeline.embed(given, batch_size=16)
    assert raised.value.sample == "20"
    skipped: list[DecodeError] = []
    left = [each.id for each in pipeline.embed_each(given, batch_size=16, skipped=skipped)]
    assert left == [row["id"] for place, row in enumerate(given) if place not in (20, 70)]
    assert [error.sample for error in skipped] == ["20", "70"]


def test_what_is_no_mapping_keeps_its_place(pipeline: mmsdk.Pipeline) -> None:
    given: list[Any] = rows(50)
    given[33] = "no mapping"
    results = pipeline.predict(given, batch_size=8)
    assert results[33].id == "sample[33]" and results[33].error is not None
    assert all(result.error is None for place, result in enumerate(results) if place != 33)


def test_nothing_is_remembered_for_long(pipeline: mmsdk.Pipeline, tmp_path: Path) -> None:
    from mmsdk.data.collate import Collator

    seen: list[int] = []
    forget = Collator.forget

    def forgetting(collator: Collator) -> None:
        seen.append(len(collator._memory))
        forget(collator)

    with patch.object(Collator, "forget", forgetting):
        pipeline.predict(rows(300), batch_size=8)
    assert len(seen) == 3 and max(seen) <= 128


def test_an_evaluation_pads_little_and_says_the_same(pipeline: mmsdk.Pipeline, padded: list[float]) -> None:
    given = [as_row(row, "") for row in rows(200)]
    found = computed(measure(pipeline, given, ["match", "colour"], batch_size=16))
    sorted_ = float(np.mean(padded))
    padded.clear()
    with patch.object(measuring, "WINDOW", 1):
        plain_ = computed(measure(pipeline, given, ["match", "colour"], batch_size=16))
    assert found == pytest.approx(plain_, abs=1e-5) and len(found) > 3
    assert sorted_ < 0.6 * float(np.mean(padded))


def test_processes_share_the_batches_of_one(pipeline: mmsdk.Pipeline) -> None:
    given = [as_row(row, "") for row in rows(100)]
    whole = measure(pipeline, given, ["colour"], batch_size=16)
    first, second = (measure(pipeline, given, ["colour"], batch_size=16, rank=rank, processes=2) for rank in (0, 1))
    for name, metric in first["colour"].items():
        metric.merge(second["colour"][name])
    assert computed(first) == pytest.approx(computed(whole), abs=1e-6)
