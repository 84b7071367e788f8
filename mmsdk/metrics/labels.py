"""Figures of predicted labels: one per row, one per token, or any number per row."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mmsdk.containers import HeadOutput, Inputs
from mmsdk.metrics.base import SumMetric, counted, most_probable

BINS = 15  # of the calibration error


class LabelCounts(SumMetric):
    """Base of figures made of three sums per label: how often it was rightly said, said, and true.

    threshold: the probability from which on a label is said, where a row has any number of labels.
    """

    def __init__(self, labels: int, threshold: float | None = None) -> None:
        super().__init__(3, labels)
        self.threshold = threshold

    def add(self, output: HeadOutput, target: Inputs) -> Tensor:
        scores, truth = counted(output, target)
        if self.threshold is not None:
            said, true = scores.sigmoid() >= self.threshold, truth > 0.5  # [n, labels]
            return torch.stack([(said & true).sum(dim=0), said.sum(dim=0), true.sum(dim=0)])
        best, ids = scores.argmax(dim=1), most_probable(truth)  # [n]
        labels = self.sums.shape[1]
        return torch.stack([part.bincount(minlength=labels) for part in (ids[best == ids], best, ids)])


class Accuracy(LabelCounts):
    """The share of rows, or tokens, whose label is right."""

    def compute(self) -> float:
        right, _, true = self.sums
        return float(right.sum() / true.sum())  # 0 / 0 is NaN


class BalancedAccuracy(LabelCounts):
    """The mean, over the labels that occur, of the share of their rows that is right."""

    def compute(self) -> float:
        right, _, true = self.sums[:, self.sums[2] > 0]
        return float((right / true).mean())


class MacroF1(LabelCounts):
    """The mean of each label's F1, over the labels that are said or true anywhere."""

    def compute(self) -> float:
        right, said, true = self.sums[:, self.sums[1] + self.sums[2] > 0]
        return float((2 * right / (said + true)).mean())


class MicroF1(LabelCounts):
    """F1 over all labels of all rows together."""

    def compute(self) -> float:
        right, said, true = self.sums.sum(dim=1)
        return float(2 * right / (said + true))


class SubsetAccuracy(SumMetric):
    """The share of rows of which all labels are right."""

    def __init__(self, threshold: float) -> None:
        super().__init__(2)
        self.threshold = threshold

    def add(self, output: HeadOutput, target: Inputs) -> Tensor:
        scores, truth = counted(output, target)
        right = ((scores.sigmoid() >= self.threshold) == (truth > 0.5)).all(dim=1)  # [n]
        return torch.stack([right.sum(), torch.tensor(len(right))])

    def compute(self) -> float:
        return float(self.sums[0] / self.sums[1])


class LogLoss(SumMetric):
    """The mean negative log-probability of the truth, in nats."""

    larger_is_better = False

    def __init__(self) -> None:
        super().__init__(2)

    def add(self, output: HeadOutput, target: Inputs) -> Tensor:
        scores, truth = counted(output, target)
        shares = truth if truth.dim() == 2 else F.one_hot(truth, scores.shape[1])
        loss = -torch.where(shares > 0, shares * scores.double(), 0).sum(dim=1)  # [n]; 0 * -inf is NaN
        return torch.stack([loss.sum(), torch.tensor(len(loss), dtype=torch.float64)])

    def compute(self) -> float:
        return float(self.sums[0] / self.sums[1])


class CalibrationError(SumMetric):
    """How far confidence is from accuracy, in 15 equal bins of confidence, weighted by their rows.

    Guo et al., "On Calibration of Modern Neural Networks", 2017 (expected calibration error).
    """

    larger_is_better = False

    def __init__(self) -> None:
        super().__init__(3, BINS)

    def add(self, output: HeadOutput, target: Inputs) -> Tensor:
        scores, truth = counted(output, target)
        confidence, said = scores.double().exp().max(dim=1)  # [n]
        right = (said == most_probable(truth)).double()
        place = (confidence * BINS).ceil().long().clamp(1, BINS) - 1  # bins are open below, closed above
        columns = (confidence, right, torch.ones_like(right))
        return torch.stack([column.new_zeros(BINS).index_add(0, place, column) for column in columns])

    def compute(self) -> float:
        confidence, right, rows = self.sums
        return float((confidence - right).abs().sum() / rows.sum())


class Confidence(SumMetric):
    """The mean probability of what is said. Above the accuracy it is too sure of itself, below too modest."""

    def __init__(self) -> None:
        super().__init__(2)

    def add(self, output: HeadOutput, target: Inputs) -> Tensor:
        scores, _ = counted(output, target)
        confidence = scores.double().exp().amax(dim=1)  # [n]
        return torch.stack([confidence.sum(), torch.tensor(len(confidence), dtype=torch.float64)])

    def compute(self) -> float:
        return float(self.sums[0] / self.sums[1])


class VqaAccuracy(SumMetric):
    """The mean of min(1, people who said it / 3), each averaged over all subsets that leave one of the people out.

    Antol et al., "VQA: Visual Question Answering", 2015; as its evaluation code has it. Of K people n said it: a subset
    without one of these has n - 1 of them, a subset without another one has n. Of one person alone, nobody is left
    out: it counts whether that person said it.
    """

    def __init__(self) -> None:
        super().__init__(2)

    def add(self, output: HeadOutput, target: Inputs) -> Tensor:
        scores, _ = counted(output, target)
        assert output.present is not None
        rows = output.present & target["present"]
        votes, people = target["votes"][rows].double(), target["people"][rows][:, 0].double()  # [n, classes], [n]
        said = votes.gather(1, scores.argmax(dim=1, keepdim=True))[:, 0]  # [n]
        with_it, without = ((part / 3).clamp(0, 1) for part in (said, said - 1))
        values = torch.where(people > 1, (said * without + (people - said) * with_it) / people, (said > 0).double())
        return torch.stack([values.sum(), torch.tensor(len(values), dtype=torch.float64)])

    def compute(self) -> float:
        return float(self.sums[0] / self.sums[1])
