"""The metrics, against scikit-learn, over several batches and several processes."""

from __future__ import annotations

import math
import pickle  # noqa: TID251 - metrics travel between processes like that
import sys
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from torch import Tensor

from mmsdk.containers import HeadOutput, Inputs
from mmsdk.errors import ConfigError
from mmsdk.interfaces import Metric
from mmsdk.metrics import (
    R2,
    Accuracy,
    BalancedAccuracy,
    CalibrationError,
    LogLoss,
    MacroF1,
    MeanAbsoluteError,
    MeanReciprocalRank,
    MicroF1,
    Pearson,
    Recall,
    RootMeanSquaredError,
    SubsetAccuracy,
    extra_metrics,
)

Batch = tuple[HeadOutput, Inputs]
ROWS, CLASSES = 90, 4
torch.manual_seed(0)
COUNTS = torch.rand(ROWS) < 0.8  # rows that have scores
KNOWN = torch.rand(ROWS) < 0.8  # rows that have a target
KEPT = COUNTS & KNOWN


def measured(make: Callable[[], Metric], output: HeadOutput, target: Inputs) -> float:
    """The figure of five batches on two processes, in inference mode, as an evaluation does it."""
    processes = [make(), make()]
    with torch.inference_mode():
        for number, rows in enumerate(torch.arange(ROWS).split(20)):
            part = output._replace(
                scores=output.scores[rows] if output.scores is not None else None,
                present=output.present[rows] if output.present is not None else None,
                embeddings={name: vectors[rows] for name, vectors in output.embeddings.items()},
            )
            processes[number % 2].update(part, {key: values[rows] for key, values in target.items()})
    first, second = (pickle.loads(pickle.dumps(each)) for each in processes)  # noqa: S301
    first.merge(second)
    return float(first.compute())


# One label per row.

LOGITS = 2 * torch.randn(ROWS, CLASSES)
IDS = torch.randint(0, CLASSES - 1, (ROWS,))  # the last class never occurs, but is predicted
OUTPUT = HeadOutput(scores=LOGITS.log_softmax(dim=1), present=COUNTS)
LABEL = {"ids": IDS, "present": KNOWN}
TRUE, SAID = IDS[KEPT].numpy(), LOGITS[KEPT].argmax(dim=1).numpy()


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: Accuracy(CLASSES), sk.accuracy_score),
        (lambda: BalancedAccuracy(CLASSES), sk.balanced_accuracy_score),
        (lambda: MacroF1(CLASSES), lambda true, said: sk.f1_score(true, said, average="macro")),
    ],
    ids=["accuracy", "balanced_accuracy", "macro_f1"],
)
def test_labels(make: Callable[[], Metric], expected: Callable[..., float]) -> None:
    assert 0.1 < measured(make, OUTPUT, LABEL) == pytest.approx(expected(TRUE, SAID))


def test_log_loss() -> None:
    probabilities = LOGITS[KEPT].double().softmax(dim=1).numpy()
    expected = sk.log_loss(TRUE, probabilities, labels=range(CLASSES))
    assert measured(LogLoss, OUTPUT, LABEL) == pytest.approx(expected, rel=1e-5)


def test_shares_per_label() -> None:
    """A soft target: its most probable label is the right one, and its cross-entropy the loss."""
    shares = torch.randn(ROWS, CLASSES).softmax(dim=1)
    target = {"probabilities": shares, "present": KNOWN}
    expected = -(shares * LOGITS.log_softmax(dim=1)).sum(dim=1)[KEPT].mean()
    assert measured(LogLoss, OUTPUT, target) == pytest.approx(float(expected), rel=1e-5)
    expected = sk.accuracy_score(shares[KEPT].argmax(dim=1), SAID)
    assert measured(lambda: Accuracy(CLASSES), OUTPUT, target) == pytest.approx(expected)


def test_an_impossible_label_makes_the_loss_infinite_not_undefined() -> None:
    scores = torch.tensor([[0.0, -math.inf], [0.0, -math.inf]])
    metric = LogLoss()
    there = torch.ones(2, dtype=torch.bool)
    metric.update(HeadOutput(scores=scores, present=there), {"ids": torch.tensor([0, 0]), "present": there})
    assert metric.compute() == 0.0
    metric.update(HeadOutput(scores=scores, present=there), {"ids": torch.tensor([0, 1]), "present": there})
    assert metric.compute() == math.inf


def test_calibration_error() -> None:
    confidence = LOGITS[KEPT].double().softmax(dim=1).numpy().max(axis=1)
    right = (TRUE == SAID).astype(float)
    edges, error = np.linspace(0, 1, 16), 0.0
    for low, high in pairwise(edges):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            error += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert 0.01 < measured(CalibrationError, OUTPUT, LABEL) == pytest.approx(error, rel=1e-5)


def test_a_calibrated_and_an_overconfident_head() -> None:
    there = torch.ones(4, dtype=torch.bool)
    target = {"ids": torch.tensor([0, 0, 0, 1]), "present": there}
    for share, expected in ((0.75, 0.0), (1.0, 0.25)):
        metric = CalibrationError()
        scores = torch.tensor([[share, 1 - share]] * 4).log()
        metric.update(HeadOutput(scores=scores, present=there), target)
        assert metric.compute() == pytest.approx(expected, abs=1e-6)


def test_a_label_per_token() -> None:
    """Tokens count where there is a token and a label; what is longer is cut."""
    scores = torch.randn(ROWS, 6, CLASSES).log_softmax(dim=2)
    tokens, labels = torch.rand(ROWS, 6) < 0.7, torch.rand(ROWS, 5) < 0.7
    ids = torch.randint(0, CLASSES, (ROWS, 5))
    output = HeadOutput(scores=scores * tokens[..., None], present=COUNTS)
    target = {"ids": ids, "mask": labels, "present": KNOWN}
    both = tokens[:, :5] & labels & KEPT[:, None]
    expected = sk.accuracy_score(ids[both], scores[:, :5][both].argmax(dim=1))
    assert measured(lambda: Accuracy(CLASSES), output, target) == pytest.approx(expected)


# Any number of labels per row.

ODDS = torch.randn(ROWS, CLASSES)
HOLDS = (torch.rand(ROWS, CLASSES) < 0.4).float()
SEVERAL = {"values": HOLDS, "present": KNOWN}


@pytest.mark.parametrize("threshold", [0.5, 0.3])
def test_any_number_of_labels(threshold: float) -> None:
    output = HeadOutput(scores=ODDS, present=COUNTS)
    true, said = HOLDS[KEPT].numpy(), (ODDS[KEPT].sigmoid() >= threshold).numpy()
    for make, expected in [
        (lambda: MicroF1(CLASSES, threshold), sk.f1_score(true, said, average="micro")),
        (lambda: MacroF1(CLASSES, threshold), sk.f1_score(true, said, average="macro")),
        (lambda: SubsetAccuracy(threshold), sk.accuracy_score(true, said)),
    ]:
        assert 0 < measured(make, output, SEVERAL) == pytest.approx(expected)


def test_a_label_that_nobody_has_or_predicts_does_not_count() -> None:
    there = torch.ones(2, dtype=torch.bool)
    metric = MacroF1(3, 0.5)
    scores, truth = torch.tensor([[9.0, -9.0, -9.0]] * 2), torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    metric.update(HeadOutput(scores=scores, present=there), {"values": truth, "present": there})
    assert metric.compute() == 0.5  # of the first label 1, of the second 0


# Numbers.


@pytest.mark.parametrize("width", [1, 2])
def test_numbers(width: int) -> None:
    values = torch.randn(ROWS, width)
    said = values + 0.5 * torch.randn(ROWS, width)
    scale, center = torch.tensor([3.0, 10.0])[:width], torch.tensor([100.0, -5.0])[:width]
    target = {
        "values": values,
        "scale": scale.expand(ROWS, width),
        "center": center.expand(ROWS, width),
        "present": KNOWN,
    }
    true, raw = ((part[KEPT] * scale + center).double().numpy() for part in (values, said))
    expected = {
        MeanAbsoluteError: sk.mean_absolute_error(true, raw),
        RootMeanSquaredError: sk.root_mean_squared_error(true, raw),
        R2: sk.r2_score(true, raw),
        Pearson: np.mean([np.corrcoef(true[:, place], raw[:, place])[0, 1] for place in range(width)]),
    }
    for make, figure in expected.items():
        assert measured(make, HeadOutput(scores=said, present=COUNTS), target) == pytest.approx(figure, rel=1e-4)


def test_figures_that_are_not_defined_are_nan() -> None:
    there, one = torch.ones(2, dtype=torch.bool), torch.ones(2, 1)
    target = {"values": one, "scale": one, "center": one, "present": there}
    for metric in (R2(), Pearson()):
        metric.update(HeadOutput(scores=torch.tensor([[1.0], [2.0]]), present=there), target)
        assert math.isnan(metric.compute())


# Retrieval.


def unit(*shape: int) -> Tensor:
    return torch.nn.functional.normalize(torch.randn(*shape), dim=-1)


def plain_ranks(similar: np.ndarray, hits: np.ndarray) -> np.ndarray:
    """Ranks by sorting, with misses before hits of the same similarity."""
    ranks = []
    for row, hit in zip(similar, hits, strict=True):
        order = sorted(range(len(row)), key=lambda place: (-row[place], hit[place]))
        ranks.append(1 + next(rank for rank, place in enumerate(order) if hit[place]))
    return np.array(ranks)


@pytest.mark.parametrize("labelled", [False, True])
def test_retrieval(labelled: bool) -> None:
    first = unit(ROWS, 8)
    second = torch.nn.functional.normalize(first + 0.4 * torch.randn(ROWS, 8), dim=1)
    output = HeadOutput(embeddings={"a": first * COUNTS[:, None], "b": second * KNOWN[:, None], "c": unit(ROWS, 8)})
    ids = torch.randint(0, 20, (ROWS,))
    has_label = torch.rand(ROWS) < 0.8
    target = {"ids": ids, "present": has_label if labelled else torch.zeros(ROWS, dtype=torch.bool)}
    similar = (first[KEPT] @ second[KEPT].T).numpy()
    same = ((ids[:, None] == ids) & target["present"][:, None] & target["present"])[KEPT][:, KEPT].numpy()
    hits = same | np.eye(len(same), dtype=bool)
    both = [plain_ranks(similar, hits), plain_ranks(similar.T, hits.T)]
    for k in (1, 5, 10):
        expected = np.mean([(ranks <= k).mean() for ranks in both])
        assert 0.2 < measured(lambda k=k: Recall(k), output, target) == pytest.approx(expected)
    assert measured(MeanReciprocalRank, output, target) == pytest.approx(np.mean([(1 / r).mean() for r in both]))


def test_ties_count_against_the_model() -> None:
    """Equal embeddings everywhere find nothing."""
    same = torch.nn.functional.normalize(torch.ones(50, 7), dim=1)
    metric = Recall(10)
    metric.update(HeadOutput(embeddings={"a": same, "b": same}), None)
    assert metric.compute() == 0.0


# What holds for all.

ALL = [
    lambda: Accuracy(CLASSES),
    lambda: BalancedAccuracy(CLASSES),
    lambda: MacroF1(CLASSES),
    lambda: MicroF1(CLASSES, 0.5),
    lambda: SubsetAccuracy(0.5),
    LogLoss,
    CalibrationError,
    MeanAbsoluteError,
    RootMeanSquaredError,
    R2,
    Pearson,
    lambda: Recall(1),
    MeanReciprocalRank,
]


@pytest.mark.parametrize("make", ALL)
def test_nothing_seen_is_nan(make: Callable[[], Metric]) -> None:
    metric = make()
    assert isinstance(metric, Metric)
    metric.merge(make())
    assert math.isnan(metric.compute())


def test_which_way_is_up() -> None:
    smaller = {type(make()) for make in ALL if not make().larger_is_better}
    assert smaller == {LogLoss, CalibrationError, MeanAbsoluteError, RootMeanSquaredError}


# torchmetrics.


def torch_metric(name: str, space: str, labels: int = CLASSES) -> Metric:
    (metric,) = extra_metrics([name], space, labels).values()
    return metric


def test_torchmetrics_for_one_label() -> None:
    names = ["torchmetrics.MulticlassCohenKappa", "torchmetrics.MulticlassAUROC"]
    found = extra_metrics(names, "log_probabilities", CLASSES)
    assert list(found) == ["MulticlassCohenKappa", "MulticlassAUROC"]
    kappa = measured(lambda: torch_metric(names[0], "log_probabilities"), OUTPUT, LABEL)
    assert kappa == pytest.approx(sk.cohen_kappa_score(TRUE, SAID), abs=1e-6)


def test_torchmetrics_for_any_number_of_labels() -> None:
    name = "torchmetrics.MultilabelRankingAveragePrecision"
    found = measured(lambda: torch_metric(name, "log_odds"), HeadOutput(scores=ODDS, present=COUNTS), SEVERAL)
    # Rows without any label differ in definition, but not here: both give them 1.
    expected = sk.label_ranking_average_precision_score(HOLDS[KEPT], ODDS[KEPT])
    assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("width", [1, 2])
def test_torchmetrics_for_numbers(width: int) -> None:
    values, said = torch.randn(ROWS, width), torch.randn(ROWS, width)
    target = {"values": values, "scale": 3 * torch.ones(ROWS, width), "center": values * 0, "present": KNOWN}
    name = "torchmetrics.MeanSquaredError"
    assert not torch_metric(name, "values", width).larger_is_better
    output = HeadOutput(scores=said, present=COUNTS)
    found = measured(lambda: torch_metric(name, "values", width), output, target)
    assert found == pytest.approx(sk.mean_squared_error(3 * values[KEPT], 3 * said[KEPT]), rel=1e-5)


@pytest.mark.parametrize(
    ("name", "space", "message"),
    [
        ("accuracy", "log_probabilities", "torchmetrics.MulticlassCohenKappa"),
        ("torchmetrics.MulticlassCohenKapa", "log_probabilities", "Did you mean 'MulticlassCohenKappa'?"),
        ("torchmetrics.MultilabelAUROC", "log_probabilities", "Unknown metric"),
        ("torchmetrics.R2Score", "log_odds", "MultilabelAveragePrecision"),
        ("torchmetrics.functional.accuracy", "values", "Unknown metric"),
        ("torchmetrics.MulticlassFBetaScore", "log_probabilities", "a value for 'beta'"),
    ],
)
def test_metrics_that_are_not_there(name: str, space: str, message: str) -> None:
    with pytest.raises(ConfigError, match="(?s)" + message.replace("?", r"\?")):
        extra_metrics([name], space, CLASSES)


def test_a_metric_of_several_figures_is_refused() -> None:
    name = "torchmetrics.MulticlassConfusionMatrix"
    with pytest.raises(ConfigError, match="more than one number"):
        measured(lambda: torch_metric(name, "log_probabilities"), OUTPUT, LABEL)


def test_torchmetrics_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchmetrics.classification", None)
    with pytest.raises(ConfigError, match=r"pip install 'mmsdk\[metrics\]'"):
        extra_metrics(["torchmetrics.MulticlassCohenKappa"], "log_probabilities", CLASSES)
    assert extra_metrics([], "log_probabilities", CLASSES) == {}
