"""Figures of predicted numbers, in their own units; of several columns, the mean over them."""

from __future__ import annotations

from torch import Tensor

from mmsdk.containers import HeadOutput, Inputs
from mmsdk.metrics.base import NAN, RowMetric, raw_numbers


class NumberMetric(RowMetric):
    """Base of figures of predicted and true numbers."""

    def keep(self, output: HeadOutput, target: Inputs | None) -> tuple[Tensor, ...] | None:
        return None if target is None else raw_numbers(output, target)


class MeanAbsoluteError(NumberMetric):
    """The mean distance from the truth."""

    larger_is_better = False

    def figure(self, *columns: Tensor) -> float:
        said, true = columns  # [n, width]
        return float((said - true).abs().mean())


class RootMeanSquaredError(NumberMetric):
    """The root of the mean squared distance from the truth, of each column."""

    larger_is_better = False

    def figure(self, *columns: Tensor) -> float:
        said, true = columns
        return float((said - true).square().mean(dim=0).sqrt().mean())


class R2(NumberMetric):
    """The share of the variance that is explained; NaN where the truth does not vary."""

    def figure(self, *columns: Tensor) -> float:
        said, true = columns
        error, variance = (said - true).square().sum(dim=0), (true - true.mean(dim=0)).square().sum(dim=0)
        return float((1 - error / variance).mean()) if variance.all() else NAN


class Pearson(NumberMetric):
    """The linear correlation with the truth; NaN where one of the two does not vary."""

    def figure(self, *columns: Tensor) -> float:
        said, true = (column - column.mean(dim=0) for column in columns)
        return float(((said * true).sum(dim=0) / (said.norm(dim=0) * true.norm(dim=0))).mean())
