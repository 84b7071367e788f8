"""`decision_weighted`: sources count by how well they did on held-out rows."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mmsdk.builtin.fusions.judged import accuracy, log_loss, squared_error
from mmsdk.builtin.fusions.scores import Rule, log_mean, truth
from mmsdk.builtin.fusions.temperature import temperatures
from mmsdk.containers import Inputs


class DecisionWeighted(Rule):
    """p = sum_m w_m p_m^(1 / T_m) / Z_m / sum_m w_m over the present sources, or the same mean of values.

    The weighted sum rule (Kittler et al., "On Combining Classifiers", 1998). `fit` finds the w_m on held-out rows: one
    over the mean log-loss (of values, over the mean squared error, which is best where errors are independent), or the
    accuracy. With `calibrate` it first finds a temperature T_m per source, so that sources are as certain as they are
    right (Guo et al., "On Calibration of Modern Neural Networks", 2017); Z_m normalises. Before `fit` this is
    `decision_mean`. Absence is exact; a row without any source gets equal probabilities, or zeros.
    """

    weights: Tensor
    temperatures: Tensor

    def __init__(self, space: str, sources: int, by_accuracy: bool = False, calibrate: bool = False) -> None:
        super().__init__(space)
        self.by_accuracy, self.calibrate = by_accuracy, calibrate
        self.register_buffer("weights", torch.ones(sources))
        self.register_buffer("temperatures", torch.ones(sources))

    def combine(self, logs: Tensor, there: Tensor) -> Tensor:
        return log_mean(self._calibrated(logs), there, _by_source(self.weights, logs).log())

    def average(self, values: Tensor, there: Tensor) -> Tensor:
        weights = _by_source(self.weights, values) * there
        return (weights * values).sum(dim=0) / weights.sum(dim=0).clamp(min=1e-12)

    def fit(self, scores: Mapping[str, Tensor], target: Inputs, present: Mapping[str, Tensor]) -> None:
        opened, there = self.opened(scores, present)
        if self.space == "values":
            found = 1 / squared_error(opened, target["values"], there)
        else:
            right = truth(target, opened[0], self.space)
            if self.calibrate:
                self.temperatures.copy_(temperatures(opened, right, there))
            logs = self._calibrated(opened)
            found = accuracy(logs, right, there) if self.by_accuracy else 1 / log_loss(logs, right, there)
        self.weights.copy_(found / found.sum())

    def _calibrated(self, logs: Tensor) -> Tensor:
        return (logs / _by_source(self.temperatures, logs)).log_softmax(dim=-1)


def _by_source(numbers: Tensor, like: Tensor) -> Tensor:
    """[sources] -> [sources, 1, ...], with as many dimensions as `like`."""
    return numbers.view(-1, *[1] * (like.dim() - 1))
