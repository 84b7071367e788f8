from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsdk.builtin.declarations.targets import (
    TARGETS,
    LabelConfig,
    LabelsConfig,
    LabelSequenceConfig,
    NumberConfig,
    SoftLabelConfig,
)
from mmsdk.builtin.modalities.answers import Answers
from mmsdk.builtin.modalities.label_sequence import LabelSequence
from mmsdk.builtin.modalities.labels import Label, Labels
from mmsdk.builtin.modalities.number import Number
from mmsdk.builtin.modalities.soft_label import SoftLabel
from mmsdk.errors import DataError, DecodeError
from mmsdk.formats import Format
from mmsdk.interfaces import Modality


def fitted(target: Any, values: list[Any]) -> Any:
    target.fit(values)
    return target


def round_trip(target: Modality, values: list[Any]) -> list[Any]:
    return target.decode(target.collate([target.prepare(value) for value in values]))


@pytest.mark.parametrize(
    ("raw", "classes"),
    [
        (["b", "a", "c", "a"], ["a", "b", "c"]),
        ([10, 9, 2.0, 2], [2, 9, 10]),
        (["10", "9", "2"], ["10", "2", "9"]),
        ([True, False], [False, True]),
        ([0.5, 0.25, 1], [0.25, 0.5, 1]),
        (["x", 3, True, -1], [-1, 3, "True", "x"]),
        ([np.int64(4), np.str_("d"), np.float32(3)], [3, 4, "d"]),
    ],
)
def test_labels_have_an_order_and_keep_their_type(raw: list[Any], classes: list[Any]) -> None:
    for seed in range(3):
        random.Random(seed).shuffle(raw)
        label = fitted(Label(), raw)
        assert [str(each) for each in label.classes] == [str(each) for each in classes]
        assert label.format == Format("label", vocabulary=len(classes))
    decoded = round_trip(label, raw)
    assert [(type(each), each) for each in decoded] == [(type(each), each) for each in map(_plain, raw)]


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return int(value) if isinstance(value, float) and value.is_integer() else value


def test_text_and_number_of_one_spelling_are_one_class() -> None:
    for raw in ([3, "3", "a"], ["3", "a", 3]):
        label = fitted(Label(), raw)
        assert label.classes == [3, "a"]
        assert label.prepare(3) == label.prepare("3") == label.prepare(3.0) == 0
    assert round_trip(fitted(Label(), ["3", "4"]), [3]) == ["3"]


def test_labels_that_cannot_be_used() -> None:
    label = fitted(Label(), ["a", "b", ["list"], float("nan")])
    assert label.classes == ["a", "b"]
    with pytest.raises(DecodeError, match=r"label 'c' was never seen in training; known: 'a', 'b'$"):
        label.prepare("c")
    for value in (["a"], float("nan"), float("inf"), {"a": 1}):
        with pytest.raises(DecodeError, match="expected a label"):
            label.prepare(value)
    many = fitted(Label(), list(range(30)))
    with pytest.raises(DecodeError, match=r"label 30 was never .* '18', '19' and 10 more$"):
        many.prepare(30)


@pytest.mark.parametrize(
    ("target", "values"), [(Label(), ["a", "a"]), (SoftLabel(), [["a"]]), (LabelSequence(), [["a"]])]
)
def test_there_has_to_be_a_choice(target: Modality, values: list[Any]) -> None:
    with pytest.raises(DataError, match="needs at least 2 different labels in the training samples; found: 'a'"):
        target.fit(values)
    with pytest.raises(DataError, match=r"needs at least 1 different labels.*found: none"):
        Labels().fit([[], ""])


def test_label_ids_are_one_per_row() -> None:
    label = fitted(Label(), ["a", "b"])
    ids = label.collate([label.prepare("b"), label.blank()])["ids"]
    assert ids.tolist() == [1, 0] and ids.dtype == torch.int64


def test_several_labels_as_list_text_or_one() -> None:
    labels = fitted(Labels(), [["red", "blue"], "green, red", "blue"])
    assert labels.classes == ["blue", "green", "red"] and labels.format == Format("labels", vocabulary=3)
    raw = [["red", "blue", "red"], "green,red", "blue", [], " , ", np.array(["green"])]
    values = labels.collate([*(labels.prepare(value) for value in raw), labels.blank()])["values"]
    expected = [[1, 0, 1], [0, 1, 1], [1, 0, 0], [0, 0, 0], [0, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert values.tolist() == expected and values.dtype == torch.float32
    assert labels.decode({"values": torch.tensor([[0.6, 0.4, 0.9], [0, 0, 0.5]])}) == [["blue", "red"], []]
    assert round_trip(fitted(Labels(separator="; "), ["a, b; c"]), ["c"]) == [["c"]]
    assert round_trip(fitted(Labels(), [[1, 2], 3]), [[2, 1], 3]) == [[1, 2], [3]]
    with pytest.raises(DecodeError, match="label 'pink' was never seen"):
        labels.prepare("red,pink")


def test_numbers_are_standardized_and_come_back() -> None:
    number = fitted(Number(), [10, "20", 30.0, "x", None, [1, 2]])
    assert number.format == Format("number", width=1)
    inputs = number.collate([number.prepare(value) for value in (10, 20, "35.5")] + [number.blank()])
    scale = np.std([10, 20, 30])
    assert inputs["values"].flatten().tolist() == pytest.approx([-10 / scale, 0, 15.5 / scale, 0], rel=1e-6)
    assert inputs["center"].tolist() == [[20]] * 4
    assert inputs["scale"].flatten().tolist() == pytest.approx([scale] * 4)
    assert all(part.dtype == torch.float32 for part in inputs.values())
    raw = inputs["values"] * inputs["scale"] + inputs["center"]
    assert raw.flatten().tolist() == pytest.approx([10, 20, 35.5, 20])
    assert number.decode(inputs) == pytest.approx([10, 20, 35.5, 20])


def test_lists_of_numbers_have_one_width() -> None:
    number = fitted(Number(), [[1, 1000], (3, 3000), np.array([2, 2000])])
    assert number.format == Format("number", width=2)
    assert round_trip(number, [[1, 1500], ["2.5", 0]]) == [
        pytest.approx([1, 1500]),
        pytest.approx([2.5, 0], abs=1e-3),
    ]
    for value, reason in [
        ([1], r"expected 2 number\(s\), as in training, got 1"),
        (4, "got 1: 4"),
        ([], "empty list"),
        ([1, "x"], "expected a number, got 'x'"),
        ([1, None], "expected a number, got None"),
        ([1, float("inf")], "expected a finite number"),
        ([[1, 2], 3], r"expected a number, got \[1, 2\]"),
    ]:
        with pytest.raises(DecodeError, match=reason):
            number.prepare(value)
    with pytest.raises(DataError, match="not one training sample has any"):
        Number().fit(["x", None, []])


def test_numbers_far_from_zero_keep_their_digits() -> None:
    years = [1_700_000_000 + step for step in range(100)]
    assert round_trip(fitted(Number(), years), years) == pytest.approx(years, abs=1e-3)
    assert round_trip(fitted(Number(), [7, 7]), [7, 9]) == [7, 9]


@settings(max_examples=200, deadline=None)
@given(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.floats() | st.text(), max_size=2)
)
def test_any_value_gives_a_finite_number_or_a_decode_error(value: Any) -> None:
    number = fitted(Number(), [1, 2, 3])
    try:
        item = number.prepare(value)
    except DecodeError as error:
        assert error.reason
    else:
        assert item.shape == (1,) and np.isfinite(item).all()


def test_shares_come_from_weights_or_votes() -> None:
    soft = fitted(SoftLabel(), [{"joy": 2, "fear": 0}, ["joy", "anger", "joy"]])
    assert soft.classes == ["anger", "fear", "joy"] and soft.format == Format("soft_label", vocabulary=3)
    items = [soft.prepare({"joy": "3", "fear": 1}), soft.prepare(["joy", "anger"]), soft.blank()]
    probabilities = soft.collate(items)["probabilities"]
    assert probabilities[:2].tolist() == [[0, 0.25, 0.75], [0.5, 0, 0.5]]
    assert torch.allclose(probabilities.sum(dim=1), torch.ones(3)) and probabilities.dtype == torch.float32
    decoded = soft.decode({"probabilities": probabilities})
    assert decoded[0] == {"anger": 0, "fear": 0.25, "joy": 0.75}
    assert soft.prepare(decoded[0]).tolist() == [0, 0.25, 0.75]
    for value, reason in [
        ({"joy": -1}, "weight of label 'joy' is -1: expected zero or more"),
        ({"joy": 0}, "weight above zero"),
        ([], "weight above zero"),
        ({"joy": "much"}, "expected a number, got 'much'"),
        ({"pride": 1}, "label 'pride' was never seen"),
        ("joy", "expected a mapping from label to weight, or a list of votes, got 'joy'"),
    ]:
        with pytest.raises(DecodeError, match=reason):
            soft.prepare(value)


def test_sequences_have_a_label_per_step() -> None:
    sequence = fitted(LabelSequence(max_length=3), [["O", "B"], ["B", "I", "O"]])
    items = [sequence.prepare(value) for value in (["O"], ["B", "I", "O", "O"])]
    inputs = sequence.collate(items)
    assert inputs["ids"].tolist() == [[2, 0, 0], [0, 1, 2]] and inputs["ids"].dtype == torch.int64
    assert inputs["mask"].tolist() == [[True, False, False], [True, True, True]]
    assert sequence.decode(inputs) == [["O"], ["B", "I", "O"]]
    assert [sequence.length(item) for item in items] == [1, 3] and sequence.length(sequence.blank()) == 1
    with pytest.raises(DecodeError, match="step 1: label 'X' was never seen"):
        sequence.prepare(["O", "X"])
    for value in ([], "O", None):
        with pytest.raises(DecodeError, match="expected a list with a label for each step"):
            sequence.prepare(value)


def test_steps_may_lack_a_label() -> None:
    sequence = fitted(LabelSequence(), [["O", None, "B"], [None, "I"]])
    assert sequence.classes == ["B", "I", "O"]
    inputs = sequence.collate([sequence.prepare(value) for value in ([None, "I", None], ["O"], [None])])
    assert inputs["mask"].tolist() == [[False, True, False], [True, False, False], [False] * 3]
    assert inputs["ids"].tolist() == [[0, 1, 0], [2, 0, 0], [0, 0, 0]]
    assert sequence.decode(inputs) == [[None, "I"], ["O"], []]


EXAMPLES: list[tuple[type[Modality], list[Any]]] = [
    (Label, [3, "x", True, 0.5, "\ud800"]),
    (Labels, [["a", 1], "b"]),
    (Number, [[1.5, 2], [0.1, 7]]),
    (SoftLabel, [{"a": 1, "b": 3}]),
    (LabelSequence, [["a", 2], ["b"]]),
]


@pytest.mark.parametrize(("target", "values"), EXAMPLES, ids=lambda value: getattr(value, "__name__", ""))
def test_state_survives_json(target: type[Modality], values: list[Any]) -> None:
    first, second = fitted(target(), values), target()
    state = {key: part.tolist() if isinstance(part, torch.Tensor) else part for key, part in first.state().items()}
    second.restore(json.loads(json.dumps(state, ensure_ascii=False).encode()))
    assert second.format == first.format
    assert round_trip(second, values) == round_trip(first, values)
    fresh = target()
    for use in (fresh.state, lambda: fresh.format, lambda: fresh.prepare(values[0])):
        with pytest.raises(DataError, match="has learned nothing yet"):
            use()


def test_configs_build_them() -> None:
    built = [config().build() for config in TARGETS]
    assert [type(target) for target in built] == [Label, Labels, Number, SoftLabel, Answers, LabelSequence]
    assert [config.type_name() for config in TARGETS] == [
        "label",
        "labels",
        "number",
        "soft_label",
        "answers",
        "label_sequence",
    ]
    assert all(config.targets and config.gives == config.type_name() for config in TARGETS)
    assert LabelsConfig(separator="|").build().separator == "|"  # type: ignore[attr-defined]
    assert LabelSequenceConfig(max_length=9).build().max_length == 9  # type: ignore[attr-defined]
    assert {LabelConfig, NumberConfig, SoftLabelConfig} < set(TARGETS)
