"""`decision_mean`: the mean of what the sources say."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from mmsdk.interfaces import DecisionFusion


class DecisionMean(DecisionFusion):
    """The sum rule: the mean over the present sources of their probabilities, or of their values.

    Kittler et al., "On Combining Classifiers", 1998. Absence is exact; a row without any source gets equal
    probabilities, or zeros. There are no parameters.

    space: what the scores are, and the result: "log_probabilities", "log_odds" or "values".
    """

    def __init__(self, space: str) -> None:
        super().__init__()
        self.space = space

    def forward(self, scores: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
        """scores [batch, ...] and present [batch] bool of each source -> [batch, ...]."""
        stacked, there = stack(scores, present)
        if self.space == "log_probabilities":
            # Normalising again changes nothing but the zeros of absent sources, which become equal shares.
            return _log_mean(stacked.log_softmax(dim=-1), there)
        if self.space == "log_odds":
            # The logit of the mean probability, with each of its two logarithms taken where it is accurate.
            return _log_mean(F.logsigmoid(stacked), there) - _log_mean(F.logsigmoid(-stacked), there)
        return stacked.sum(dim=0) / there.sum(dim=0).clamp(min=1)


def stack(scores: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Scores [sources, batch, ...], zeros where absent, and a mask that broadcasts over them."""
    stacked = torch.stack(list(scores.values())).float()
    there = torch.stack(list(present.values())).view(*stacked.shape[:2], *[1] * (stacked.dim() - 2))
    return stacked.masked_fill(~there, 0), there


def _log_mean(logarithms: Tensor, there: Tensor) -> Tensor:
    """log(mean(exp(.))) over the sources that are there; over all of them where none is."""
    counted = there | ~there.any(dim=0)
    lowest = torch.finfo(logarithms.dtype).min  # finite: a row that is nothing but -inf has no gradient
    total = logarithms.masked_fill(~counted, lowest).logsumexp(dim=0)
    return total - counted.sum(dim=0).log()
