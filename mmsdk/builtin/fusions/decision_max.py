"""`decision_max`: the most certain source decides."""

from __future__ import annotations

from torch import Tensor

from mmsdk.builtin.fusions.scores import Rule, counted


class DecisionMax(Rule):
    """The max rule for labels that are equally likely beforehand: p(c) is proportional to max_m p_m(c).

    Kittler et al., "On Combining Classifiers", 1998. A source that is wrongly certain decides as well. Absence is
    exact; a row without any source gets equal probabilities. There are no parameters.
    """

    def combine(self, logs: Tensor, there: Tensor) -> Tensor:
        return logs.masked_fill(~counted(there), float("-inf")).amax(dim=0)
