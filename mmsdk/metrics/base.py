"""Two kinds of metric, those of sums and those of rows, and what they count."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from mmsdk.containers import HeadOutput, Inputs

NAN = float("nan")
TRUTHS = ("ids", "probabilities", "values")  # the keys of labels, of shares per label, and of several labels


class SumMetric(ABC):
    """A figure made of sums over rows."""

    larger_is_better = True

    def __init__(self, *shape: int) -> None:
        self.sums = torch.zeros(shape, dtype=torch.float64)

    @abstractmethod
    def add(self, output: HeadOutput, target: Inputs) -> Tensor:
        """What one batch adds to the sums."""

    @abstractmethod
    def compute(self) -> float:
        """The figure; NaN where nothing was seen."""

    def update(self, output: HeadOutput, target: Inputs | None) -> None:
        if target is not None:
            # Not in place: a tensor that was made in inference mode cannot be changed outside of it.
            self.sums = self.sums + self.add(output, target)

    def merge(self, other: SumMetric) -> None:
        self.sums = self.sums + other.sums


class RowMetric(ABC):
    """A figure that needs all rows at once: a tuple of tensors, [rows, ...] each, is kept of each batch."""

    larger_is_better = True

    def __init__(self) -> None:
        self.batches: list[tuple[Tensor, ...]] = []

    @abstractmethod
    def keep(self, output: HeadOutput, target: Inputs | None) -> tuple[Tensor, ...] | None:
        """What is kept of one batch, if anything."""

    @abstractmethod
    def figure(self, *columns: Tensor) -> float:
        """The figure of all rows, of which there is one at least."""

    def update(self, output: HeadOutput, target: Inputs | None) -> None:
        kept = self.keep(output, target)
        if kept is not None:
            self.batches.append(kept)

    def merge(self, other: RowMetric) -> None:
        self.batches += other.batches

    def compute(self) -> float:
        columns = [torch.cat(parts) for parts in zip(*self.batches, strict=True)]
        return self.figure(*columns) if columns and len(columns[0]) else NAN


class Rows(RowMetric):
    """How many rows were judged; of a head with targets, of those that have one."""

    def keep(self, output: HeadOutput, target: Inputs | None) -> tuple[Tensor, ...] | None:
        assert output.present is not None
        rows = output.present if target is None else output.present & target["present"]
        return (rows[rows],)

    def figure(self, *columns: Tensor) -> float:
        return float(len(columns[0]))


def counted(output: HeadOutput, target: Inputs) -> tuple[Tensor, Tensor]:
    """Scores and truth of the rows that count, or of the tokens.

    One class each: [n, classes] log-probabilities, and [n] ids or [n, classes] probabilities.
    Any number of labels each: [n, labels] log-odds, and [n, labels] of 0 and 1.
    """
    assert output.scores is not None and output.present is not None
    scores, truth = output.scores, next(target[key] for key in TRUTHS if key in target)
    counts = output.present & target["present"]  # [batch]
    if "mask" in target:  # a label per token; a head leaves zeros where there is no token
        length = min(scores.shape[1], truth.shape[1])
        scores, truth = scores[:, :length], truth[:, :length]
        counts = counts[:, None] & target["mask"][:, :length] & scores.any(dim=2)  # [batch, length]
    return scores[counts], truth[counts]


def most_probable(truth: Tensor) -> Tensor:
    """The true class: [n] ids, or the largest of [n, classes] probabilities."""
    return truth if truth.dim() == 1 else truth.argmax(dim=1)


def raw_numbers(output: HeadOutput, target: Inputs) -> tuple[Tensor, Tensor]:
    """Predicted and true numbers in their own units, [n, width] float64."""
    assert output.scores is not None and output.present is not None
    rows = output.present & target["present"]
    scale, center = target["scale"].double(), target["center"].double()
    said, true = (part.double() * scale + center for part in (output.scores, target["values"]))
    return said[rows], true[rows]
