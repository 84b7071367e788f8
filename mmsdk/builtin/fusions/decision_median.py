"""`decision_median`: what the source in the middle says."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mmsdk.builtin.fusions.scores import Rule, counted


class DecisionMedian(Rule):
    """The median rule: the median over the present sources of their probabilities, normalised, or of their values.

    Kittler et al., "On Combining Classifiers", 1998. Of an even number it is the mean of the two in the middle, so that
    with two sources it is `decision_mean`. Absence is exact; a row without any source gets equal probabilities, or
    zeros. There are no parameters.
    """

    def combine(self, logs: Tensor, there: Tensor) -> Tensor:
        low, high = _middle(logs, there)
        return torch.logaddexp(low, high) - math.log(2)

    def average(self, values: Tensor, there: Tensor) -> Tensor:
        low, high = _middle(values, there)
        return (low + high) / 2


def _middle(stacked: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
    """The two in the middle of each row's sources, which are the same where their number is odd."""
    counts = counted(there)
    ordered = stacked.masked_fill(~counts, float("inf")).sort(dim=0).values  # what does not count stands last
    number = counts.sum(dim=0, keepdim=True)  # [1, batch, ...]
    places = (number - 1) // 2, number // 2
    low, high = (ordered.gather(0, place.expand(1, *stacked.shape[1:]))[0] for place in places)
    return low, high
