"""The matching head: true pairs against mixed ones, hard ones first, never a pair that may be true."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

import mmsdk
from mmsdk.builtin.declarations.heads import MatchingConfig
from mmsdk.builtin.heads.matching import NOBODY, Matching
from mmsdk.containers import Encoding, Fused, HeadOutput, Step

BATCH, WIDTH = 6, 4


def encoding(vectors: Tensor, present: Tensor | None = None) -> Encoding:
    there = torch.ones(len(vectors), dtype=torch.bool) if present is None else present
    return Encoding(vectors[:, None], there[:, None], vectors * there[:, None])


def streams(present: Tensor | None = None) -> dict[str, Encoding]:
    """Row n of both streams holds n, so that it can be seen which rows meet."""
    numbers = torch.arange(1.0, BATCH + 1)[:, None].expand(BATCH, WIDTH)
    return {"fused": encoding(numbers), "image": encoding(numbers, present), "text": encoding(10 * numbers)}


def run(
    present: Tensor | None = None, target: mmsdk.Inputs | None = None, **parts: Any
) -> tuple[HeadOutput, list[list[tuple[float, float]]]]:
    """The output, and which (image, text) met in each of the three fusions."""
    met: list[list[tuple[float, float]]] = []

    def fuse(given: Mapping[str, Encoding]) -> Fused:
        pairs = zip(given["image"].pooled[:, 0].tolist(), given["text"].pooled[:, 0].tolist(), strict=True)
        met.append([(image, text / 10) for image, text in pairs])
        return Fused(encoding(given["image"].pooled * given["text"].pooled))

    torch.manual_seed(0)
    step = Step({}, {}, fuse, {}, lambda tensor: tensor, 0, None)._replace(**parts)
    return Matching(WIDTH)(streams(present), target, step), met


def test_a_row_is_judged_as_it_is_and_with_another_row() -> None:
    output, (own, other_text, other_image) = run(generator=torch.Generator().manual_seed(1))
    assert all(image == text for image, text in own)
    assert [image for image, _ in other_text] == [text for _, text in other_image] == [1, 2, 3, 4, 5, 6]
    assert all(image != text for image, text in other_text + other_image)
    assert output.scores is not None and output.scores.shape == (BATCH, 3) and output.count == 3 * BATCH


def test_outside_of_training_the_hardest_one_is_taken() -> None:
    vectors = torch.nn.functional.normalize(torch.randn(BATCH, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    others = {"align": HeadOutput(embeddings={"image": vectors, "text": vectors.roll(1, 0)})}
    _, (_, other_text, other_image) = run(outputs=others)
    similar = vectors @ vectors.roll(1, 0).T
    similar.fill_diagonal_(-9)
    assert [text - 1 for _, text in other_text] == similar.argmax(dim=1).tolist()
    assert [image - 1 for image, _ in other_image] == similar.argmax(dim=0).tolist()


def test_in_training_hard_ones_come_more_often() -> None:
    vectors = torch.eye(BATCH)
    vectors[1] = vectors[0]
    others = {"align": HeadOutput(embeddings={"image": vectors, "text": vectors})}
    generator, count = torch.Generator().manual_seed(0), 0
    for _ in range(50):
        _, (_, other_text, _) = run(outputs=others, generator=generator)
        count += other_text[0][1] == 2
    assert count > 45


def test_what_may_belong_together_is_never_mixed() -> None:
    present = torch.tensor([True, True, True, True, False, True])
    target = {"ids": torch.tensor([0, 0, 1, 1, 2, 0]), "present": torch.tensor([True] * 5 + [False])}
    rows = {"image": torch.tensor([0, 1, 0, 3, 4, 5]), "text": torch.tensor([0, 1, 2, 3, 4, 5])}
    for seed in range(20):
        output, (_, *mixed) = run(present, target, rows=rows, generator=torch.Generator().manual_seed(seed))
        assert output.scores is not None
        for place, pairs in enumerate(mixed, start=1):
            for row, (image, text) in enumerate(pairs):
                if output.scores[row, place] > NOBODY:
                    met = {int(image) - 1 if image else 4, int(text) - 1}
                    assert not [bad for bad in ({0, 1}, {2, 3}, {0, 2}, {4}) if met <= bad or 4 in met]
    assert output.scores is not None and (output.scores[4] == NOBODY).all() and not output.present[4]  # type: ignore[index]


def test_a_row_alone_is_judged_as_it_is() -> None:
    only = torch.tensor([True] + [False] * 5)
    output, _ = run(only)
    assert output.count == 1 and output.scores is not None and (output.scores[0, 1:] == NOBODY).all()


@pytest.mark.parametrize("reads", [["image", "text"], ["fused", "image"], ["fused"]])
def test_it_reads_fused_and_streams(reads: list[str]) -> None:
    with pytest.raises(ValidationError, match="Give fused and two streams or more"):
        MatchingConfig(reads=reads)


def test_it_learns_which_vectors_belong_together(tmp_path: Path) -> None:
    """The second vector is the first one turned around; mixed rows are told on rows that were never seen."""
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(300, 3, generator=generator)
    rows = [{"a": one.tolist(), "b": (-one.flip(0)).tolist()} for one in first]
    stream = {"modality": "features", "encoder": {"type": "mlp", "width": 32}}
    config = {
        "streams": {"a": stream, "b": stream},
        "fusion": {"type": "product", "width": 64},
        "heads": {
            "align": {"type": "contrastive", "reads": ["a", "b"], "width": 16},
            "match": {"type": "matching", "reads": ["fused", "a", "b"], "hidden": [32]},
        },
        "training": {"epochs": 40, "learning_rate": 0.005, "batch_size": 25},
    }
    trained = mmsdk.train(config, {"train": rows[:200], "test": rows[200:]}, out=tmp_path / "run", show=False)
    assert trained.metrics["test/match/accuracy"] > 0.7
    true, mixed = {**rows[210]}, {"a": rows[210]["a"], "b": rows[240]["b"]}
    said = [result["match"].value for result in trained.pipeline.predict([true, mixed])]
    assert said == [True, False]
