"""`decision_mean`: the mean of what the sources say."""

from __future__ import annotations

from torch import Tensor

from mmsdk.builtin.fusions.scores import Rule, log_mean


class DecisionMean(Rule):
    """The sum rule: the mean over the present sources of their probabilities, or of their values.

    Kittler et al., "On Combining Classifiers", 1998. Absence is exact; a row without any source gets equal
    probabilities, or zeros. There are no parameters.
    """

    def combine(self, logs: Tensor, there: Tensor) -> Tensor:
        return log_mean(logs, there)

    def average(self, values: Tensor, there: Tensor) -> Tensor:
        return values.sum(dim=0) / there.sum(dim=0).clamp(min=1)
