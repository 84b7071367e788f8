"""Figures of heads that tell pairs from mixed ones."""

from __future__ import annotations

import torch
from torch import Tensor

from mmsdk.containers import HeadOutput, Inputs
from mmsdk.metrics.base import RowMetric


class PairAccuracy(RowMetric):
    """How often a pair is told to be one, and a mixed one to be none: the mean of the two shares.

    Scores are log-odds [batch, judgements], those of the true pair first; `nobody` stands where there is no other.
    """

    def __init__(self, nobody: float) -> None:
        super().__init__()
        self.nobody = nobody

    def keep(self, output: HeadOutput, target: Inputs | None) -> tuple[Tensor, ...] | None:
        assert output.scores is not None
        rows = (output.scores > self.nobody).all(dim=1)
        return (output.scores[rows],)

    def figure(self, *columns: Tensor) -> float:
        (scores,) = columns
        pairs, mixed = scores[:, 0] >= 0, scores[:, 1:] < 0
        return float(torch.stack([pairs.double().mean(), mixed.double().mean()]).mean())


class Share(RowMetric):
    """The first of two scores over the second one, each added up over all rows: scores [batch, 2]."""

    def __init__(self, larger_is_better: bool = True) -> None:
        super().__init__()
        self.larger_is_better = larger_is_better

    def keep(self, output: HeadOutput, target: Inputs | None) -> tuple[Tensor, ...] | None:
        assert output.scores is not None and output.present is not None
        return (output.scores[output.present].double(),)

    def figure(self, *columns: Tensor) -> float:
        part, whole = columns[0].sum(dim=0)
        return float(part / whole)
