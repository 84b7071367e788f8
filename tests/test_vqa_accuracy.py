"""Answers of several people: what they become, and the accuracy that counts people."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

import mmsdk
from mmsdk.builtin.declarations.heads import ClassificationConfig
from mmsdk.builtin.declarations.targets import AnswersConfig
from mmsdk.builtin.modalities.answers import Answers
from mmsdk.metrics import VqaAccuracy
from mmsdk.testing import HeadContract, ModalityContract

VALUES = (["yes"] * 7 + ["no"] * 3, {"no": 2, "2": 1}, ["yes", "maybe"])


class TestAnswers(ModalityContract):
    config: ClassVar[AnswersConfig] = AnswersConfig()
    values = VALUES
    bad_values = (None, [], {}, {"yes": -1}, {"yes": 0}, {"yes": "many"})


class TestClassification(HeadContract):
    config: ClassVar[ClassificationConfig] = ClassificationConfig.model_validate(
        {"target": {"column": "y", "modality": "answers"}, "metrics": ["vqa_accuracy"]}
    )
    values = VALUES
    predicts_targets = False


def brute(said: str, answers: list[str]) -> float:
    """The definition: over all subsets of all but one."""
    subsets = list(combinations(answers, len(answers) - 1))
    return sum(min(1, subset.count(said) / 3) for subset in subsets) / len(subsets)


def fitted(most: int = 3000) -> Answers:
    answers = Answers(most)
    answers.fit([["a", "b", "c", "d"], ["a", "b", "c"], ["a"]])
    return answers


@pytest.mark.parametrize("people", [2, 3, 10])
def test_against_the_definition(people: int) -> None:
    target, metric, expected = fitted(), VqaAccuracy(), []
    items = []
    for right in range(people + 1):
        answers = ["a"] * right + ["b"] * (people - right)
        items.append(target.prepare(answers))
        expected.append(brute("a", answers))
    rows = len(items)
    scores = torch.tensor([[0.9, 0.1, 0, 0]] * rows).log()
    present = torch.arange(rows) != 0
    output = mmsdk.HeadOutput(scores=scores, present=present)
    metric.update(output, {**target.collate(items), "present": torch.ones(rows, dtype=torch.bool)})
    assert metric.compute() == pytest.approx(sum(expected[1:]) / people)
    assert people != 10 or expected[:5] == pytest.approx([0, 0.3, 0.6, 0.9, 1])


def test_answers_that_are_no_class_still_count_as_people() -> None:
    target = fitted(most=2)
    assert target.classes == ["a", "b"]
    found = target.collate([target.prepare(["a", "x", "x", "b"]), target.prepare({"x": 3}), target.blank()])
    assert found["probabilities"].tolist() == [[0.5, 0.5], [0, 0], [0, 0]]
    assert found["votes"].tolist() == [[1, 1], [0, 0], [0, 0]] and found["people"].flatten().tolist() == [4, 3, 1]


def test_a_pipeline_learns_what_most_people_say(tmp_path: Path) -> None:
    """One row's answers are all unknown: it teaches nothing and is wrong."""
    rows: list[dict[str, Any]] = [
        {"x": [1.0, 0.0], "answers": ["yes"] * 8 + ["no"] * 2},
        {"x": [0.0, 1.0], "answers": {"no": 10}},
    ]
    config = {
        "streams": {"x": {"modality": "features", "encoder": {"type": "mlp", "width": 8}}},
        "heads": {
            "answer": {
                "type": "classification",
                "target": {"column": "answers", "modality": "answers"},
                "reads": ["x"],
                "metrics": ["vqa_accuracy"],
            }
        },
        "training": {"epochs": 60, "learning_rate": 0.02, "threads": 1},
    }
    data = {"train": rows, "test": [*rows, {"x": [1.0, 0.0], "answers": ["perhaps"] * 10}]}
    trained = mmsdk.train(config, data, out=tmp_path / "run", show=False)
    assert trained.metrics["test/answer/vqa_accuracy"] == pytest.approx(2 / 3)
    first, second = trained.pipeline.predict([{"x": row["x"]} for row in rows])
    assert (first["answer"].value, second["answer"].value) == ("yes", "no")
    assert first["answer"].confidence == pytest.approx(0.8, abs=0.05)


def test_it_is_asked_for_where_people_are_counted() -> None:
    for target in ("y", {"column": "y", "modality": "soft_label"}):
        with pytest.raises(ValueError, match=r"'vqa_accuracy' counts people: give 'target: \{column: ..., modality"):
            ClassificationConfig.model_validate({"target": target, "metrics": ["vqa_accuracy"]})
    with pytest.raises(ValueError, match="Unknown metric 'vqa'"):
        ClassificationConfig.model_validate({"target": "y", "metrics": ["vqa"]})


def test_one_answer_for_all_is_nothing_to_choose_from() -> None:
    with pytest.raises(mmsdk.DataError, match=r"at least 2 different answers .* found: 'yes'"):
        Answers().fit([["yes"], {"yes": 2}, None])
