"""The heads that give scores: classification, multilabel, regression, token_classification."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor

from mmsdk.builtin.declarations.heads import (
    HEADS,
    ClassificationConfig,
    ContrastiveConfig,
    MultilabelConfig,
    RegressionConfig,
    TokenClassificationConfig,
)
from mmsdk.builtin.declarations.targets import (
    LabelConfig,
    LabelsConfig,
    LabelSequenceConfig,
    NumberConfig,
    SoftLabelConfig,
)
from mmsdk.components import HeadConfig, ModalityConfig, TargetConfig
from mmsdk.containers import Encoding, HeadOutput, Inputs, Step
from mmsdk.formats import Format, Source
from mmsdk.interfaces import Modality, ScoringHead, TaskHead

WIDTH, BATCH, LENGTH, CLASSES = 6, 5, 4, 3
PRESENT = torch.tensor([True, True, False, True, True])
KNOWN = torch.tensor([True, False, True, True, True])
STEP = Step({}, {}, lambda _: pytest.fail("no fusion here"), {}, lambda tensor: tensor, 0, None)


def encoding(present: Tensor = PRESENT, seed: int = 0) -> Encoding:
    """Rows of different lengths; zeros where absent."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.arange(len(present))[:, None] % LENGTH + 1
    mask = (torch.arange(LENGTH) < lengths) & present[:, None]
    tokens = torch.randn(len(present), LENGTH, WIDTH, generator=generator)
    pooled = torch.randn(len(present), WIDTH, generator=generator)
    return Encoding(tokens * mask[..., None], mask, pooled * present[:, None])


def label_target() -> Inputs:
    return {"ids": torch.tensor([0, 1, 2, 1, 0]), "present": KNOWN}


def soft_target() -> Inputs:
    generator = torch.Generator().manual_seed(1)
    shares = torch.randn(BATCH, CLASSES, generator=generator).softmax(dim=1)
    return {"probabilities": shares, "present": KNOWN}


def labels_target() -> Inputs:
    return {"values": torch.eye(CLASSES)[[0, 1, 2, 1, 0]], "present": KNOWN}


def number_target() -> Inputs:
    values = torch.randn(BATCH, CLASSES, generator=torch.Generator().manual_seed(1))
    return {"values": values, "center": values * 0 + 100, "scale": values * 0 + 5, "present": KNOWN}


def sequence_target(length: int = LENGTH) -> Inputs:
    ids = torch.arange(BATCH * length).view(BATCH, length) % CLASSES
    return {"ids": ids, "mask": torch.ones(BATCH, length, dtype=torch.bool), "present": KNOWN}


TARGETS = {
    "label": (Format("label", vocabulary=CLASSES), label_target),
    "soft_label": (Format("soft_label", vocabulary=CLASSES), soft_target),
    "labels": (Format("labels", vocabulary=CLASSES), labels_target),
    "number": (Format("number", width=CLASSES), number_target),
    "label_sequence": (Format("label_sequence", vocabulary=CLASSES), sequence_target),
}
CASES = [
    (ClassificationConfig(target="y"), "label"),
    (ClassificationConfig(target="y", label_smoothing=0.2, hidden=[7, 5]), "soft_label"),
    (MultilabelConfig(target="y"), "labels"),
    (RegressionConfig(target="y", hidden=[7]), "number"),
    (RegressionConfig(target="y", loss="mae"), "number"),
    (RegressionConfig(target="y", loss="huber"), "number"),
    (TokenClassificationConfig(target="y"), "label_sequence"),
]
every_head = pytest.mark.parametrize(("config", "kind"), CASES, ids=lambda each: getattr(each, "type", each))


def build(config: HeadConfig, kind: str) -> TaskHead:
    torch.manual_seed(0)
    return config.build({"fused": Source(WIDTH, WIDTH)}, TARGETS[kind][0])


def run(head: TaskHead, read: Encoding, target: Inputs | None) -> HeadOutput:
    return head({"fused": read}, target, STEP)


def shown(output: HeadOutput) -> Tensor:
    assert output.scores is not None and output.loss is not None and output.count is not None
    assert output.loss.shape == output.count.shape == ()
    return output.scores


# What all of them promise.


@every_head
def test_only_rows_with_input_and_target_count(config: HeadConfig, kind: str) -> None:
    head, target = build(config, kind), TARGETS[kind][1]()
    output = run(head, encoding(), target)
    assert output.present is not None and torch.equal(output.present, PRESENT)
    both = (PRESENT & KNOWN).nonzero()[:, 0]
    units = encoding().mask[both].sum() if kind == "label_sequence" else len(both)
    assert output.count == units
    singles = [
        run(
            head,
            Encoding(*(part[row : row + 1] for part in encoding())),
            {key: part[row : row + 1] for key, part in target.items()},
        )
        for row in range(BATCH)
    ]
    losses = torch.stack([single.loss for single in singles if single.loss is not None])
    torch.testing.assert_close(output.loss, losses.sum())
    assert losses[both].all() and losses.count_nonzero() == len(both)
    shown(output)


@every_head
def test_metrics_take_what_the_head_gives(config: HeadConfig, kind: str) -> None:
    head, target = build(config, kind), TARGETS[kind][1]()
    metrics = head.metrics()
    with torch.inference_mode():
        output = run(head, encoding(), target)
    for name, metric in metrics.items():
        metric.update(output, target)
        assert isinstance(metric.compute(), float), name
    main = {"multilabel": "micro_f1", "regression": "mae"}.get(config.type_name(), "accuracy")
    assert next(iter(metrics)) == main


@every_head
def test_more_metrics(config: HeadConfig, kind: str) -> None:
    name = type(config).metric_example  # type: ignore[attr-defined]
    metrics = build(config.model_copy(update={"metrics": [name]}), kind).metrics()
    assert list(metrics)[-1] == name.removeprefix("torchmetrics.")


def test_which_heads_can_be_joined_by_a_decision_rule() -> None:
    scoring = {head.type_name() for head in HEADS if head.scoring}
    assert scoring == {"classification", "multilabel", "regression"}
    for config, kind in CASES:
        assert isinstance(build(config, kind), ScoringHead) == config.scoring


# Losses and predictions of each.


def test_classification_against_torch() -> None:
    head = build(ClassificationConfig(target="y"), "label")
    output, counts = run(head, encoding(), label_target()), PRESENT & KNOWN
    expected = F.cross_entropy(shown(output)[counts], label_target()["ids"][counts], reduction="sum")
    torch.testing.assert_close(output.loss, expected)
    torch.testing.assert_close(shown(output).exp().sum(dim=1), torch.ones(BATCH))


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("kind", ["label", "soft_label"])
def test_label_smoothing_against_torch(smoothing: float, kind: str) -> None:
    head, target = build(ClassificationConfig(target="y", label_smoothing=smoothing), kind), TARGETS[kind][1]()
    output, counts = run(head, encoding(), target), PRESENT & KNOWN
    truth = target["ids" if kind == "label" else "probabilities"][counts]
    expected = F.cross_entropy(shown(output)[counts], truth, reduction="sum", label_smoothing=smoothing)
    torch.testing.assert_close(output.loss, expected)


def fitted(config: ModalityConfig, *values: Any) -> Modality:
    modality = config.build()
    modality.fit(values)
    return modality


@pytest.mark.parametrize(
    "target",
    [fitted(LabelConfig(), "cat", "dog", 3), fitted(SoftLabelConfig(), ["cat", "dog", 3])],
    ids=["label", "soft_label"],
)
def test_classification_predicts_labels(target: Modality) -> None:
    head = build(ClassificationConfig(target="y"), "label")
    shares = torch.tensor([[0.2, 0.5, 0.3], [0.9, 0.1, 0.0]])
    first, second = head.decode(HeadOutput(scores=shares.log()), target)
    assert (first.value, second.value) == ("cat", 3)  # numbers come before text
    assert first.confidence == pytest.approx(0.5) == first.scores["cat"]
    assert second.scores == pytest.approx({"3": 0.9, "cat": 0.1, "dog": 0.0})


def test_multilabel_against_torch() -> None:
    head = build(MultilabelConfig(target="y"), "labels")
    output, counts = run(head, encoding(), labels_target()), PRESENT & KNOWN
    expected = F.binary_cross_entropy_with_logits(
        shown(output)[counts], labels_target()["values"][counts], reduction="sum"
    )
    torch.testing.assert_close(output.loss, expected)


@pytest.mark.parametrize(("threshold", "expected"), [(0.5, ["a", "c"]), (0.2, ["a", "b", "c"]), (1.0, [])])
def test_multilabel_predicts_from_the_threshold_on(threshold: float, expected: list[str]) -> None:
    head = build(MultilabelConfig(target="y", threshold=threshold), "labels")
    target = fitted(LabelsConfig(), "a,b,c")
    (prediction,) = head.decode(HeadOutput(scores=torch.tensor([[0.9, 0.3, 0.5]]).logit()), target)
    assert prediction.value == expected and prediction.confidence is None
    assert prediction.scores == pytest.approx({"a": 0.9, "b": 0.3, "c": 0.5})


@pytest.mark.parametrize(("loss", "function"), [("mse", F.mse_loss), ("mae", F.l1_loss), ("huber", F.huber_loss)])
def test_regression_against_torch(loss: Any, function: Any) -> None:
    head = build(RegressionConfig(target="y", loss=loss), "number")
    output, counts = run(head, encoding(), number_target()), PRESENT & KNOWN
    expected = function(shown(output)[counts], number_target()["values"][counts]) * counts.sum()
    torch.testing.assert_close(output.loss, expected)


def test_regression_predicts_and_measures_in_the_targets_units() -> None:
    target = fitted(NumberConfig(), 90.0, 110.0)
    head = RegressionConfig(target="y").build({"fused": Source(WIDTH, WIDTH)}, target.format)
    inputs = target.collate([target.prepare(100.0), target.prepare(120.0)])
    there = torch.ones(2, dtype=torch.bool)
    output = HeadOutput(scores=inputs["values"] + torch.tensor([[0.0], [0.5]]), present=there)
    assert [each.value for each in head.decode(output, target)] == pytest.approx([100.0, 125.0])
    metric = head.metrics()["mae"]
    metric.update(output, {**inputs, "present": there})
    assert metric.compute() == pytest.approx(2.5)


@pytest.mark.parametrize("length", [LENGTH, 2, 7])
def test_token_classification_against_torch(length: int) -> None:
    head, target = build(TokenClassificationConfig(target="y"), "label_sequence"), sequence_target(length)
    output, shorter = run(head, encoding(), target), min(length, LENGTH)
    counts = encoding().mask[:, :shorter] & (PRESENT & KNOWN)[:, None]
    expected = F.cross_entropy(shown(output)[:, :shorter][counts], target["ids"][:, :shorter][counts], reduction="sum")
    torch.testing.assert_close(output.loss, expected)
    assert output.count == counts.sum()


def test_token_classification_predicts_a_label_per_token() -> None:
    head, target = (
        build(TokenClassificationConfig(target="y"), "label_sequence"),
        fitted(LabelSequenceConfig(), ["x", "y", "z"]),
    )
    output = run(head, encoding(), None)
    found = [prediction.value for prediction in head.decode(output, target)]
    assert [len(labels) for labels in found] == encoding().mask.sum(dim=1).tolist()
    assert output.scores is not None
    assert found[3] == ["xyz"[place] for place in output.scores[3].argmax(dim=1)]


def test_token_classification_tells_more_of_each_step() -> None:
    target = fitted(LabelSequenceConfig(), ["x", "y", "z"])
    head = build(TokenClassificationConfig(target="y"), "label_sequence")
    whole = encoding()
    mask = torch.zeros_like(whole.mask)
    mask[0, 1] = True  # a gap before it, padding after it
    output = run(head, whole._replace(mask=mask), None)
    first, second, *_ = head.decode(output, target)
    assert first.steps is not None and output.scores is not None
    assert first.steps[0] is None and len(first.steps) == 2 and first.value == [None, first.steps[1].value]
    shares = output.scores[0, 1].exp().tolist()
    assert first.steps[1].scores == pytest.approx(dict(zip("xyz", shares, strict=True)))
    assert first.steps[1].confidence == pytest.approx(max(shares))
    assert (second.value, second.steps) == ([], [])


# Configs that cannot work are refused without torch.


@pytest.mark.parametrize(
    ("head", "modality", "kinds"),
    [
        (ClassificationConfig, NumberConfig(), "'label', 'soft_label', 'answers'"),
        (RegressionConfig, LabelConfig(), "'number'"),
        (MultilabelConfig, LabelConfig(), "'labels'"),
        (ContrastiveConfig, LabelsConfig(), "'label'"),
    ],
)
def test_targets_of_another_kind_are_refused(head: type[HeadConfig], modality: Any, kinds: str) -> None:
    target = TargetConfig(column="y", modality=modality)
    with pytest.raises(ValidationError, match=f"takes targets of kind {kinds}, but '{modality.type}'"):
        head(target=target)
    soft = TargetConfig(column="y", modality=SoftLabelConfig())
    assert ClassificationConfig(target=soft).target == soft


@pytest.mark.parametrize("name", ["accuracy", "torchmetrics.functional.accuracy", "os.system", "torchmetrics."])
def test_metrics_of_unknown_origin_are_refused(name: str) -> None:
    with pytest.raises(ValidationError, match=r"such as 'torchmetrics\.MulticlassCohenKappa'"):
        ClassificationConfig(target="y", metrics=[name])
    with pytest.raises(ValidationError, match="no more metrics than its own"):
        ContrastiveConfig(metrics=[name])
