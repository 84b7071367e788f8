"""`decision_vote`: the label that most sources find most probable."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from mmsdk.builtin.fusions.judged import accuracy
from mmsdk.builtin.fusions.scores import Rule, log_mean, truth
from mmsdk.containers import Inputs


class DecisionVote(Rule):
    """p(c) is proportional to sum_m w_m [c = argmax p_m] + mean_m p_m(c) over the present sources.

    The majority vote, as in Lam and Suen, "Application of Majority Voting to Pattern Recognition", 1997. One more vote
    is shared out by the mean of the probabilities: it decides ties, and leaves no label at zero. The result is no
    calibrated probability.

    With equal weights w_m = 1. Otherwise `fit` finds them: w_m is proportional to max(0, log(a_m / (1 - a_m)) + log(K -
    1)) with a_m the accuracy on held-out rows and K the number of labels, which is best where sources err independently
    (Nitzan and Paroush, "Optimal Decision Rules in Uncertain Dichotomous Choice Situations", 1982; for more labels as
    in Zhu et al., "Multi-class AdaBoost", 2009). Their mean is 1; one that guesses has no vote. Absence is exact; a row
    without any source gets equal probabilities.
    """

    weights: Tensor

    def __init__(self, space: str, sources: int, weighted: bool = False) -> None:
        super().__init__(space)
        self.weighted = weighted
        self.register_buffer("weights", torch.ones(sources))

    def combine(self, logs: Tensor, there: Tensor) -> Tensor:
        chosen = F.one_hot(logs.argmax(dim=-1), logs.shape[-1]) * there  # [sources, batch, ..., classes]
        votes = (chosen * self.weights.view(-1, *[1] * (logs.dim() - 1))).sum(dim=0)
        return torch.logaddexp(votes.log(), log_mean(logs, there))

    def fit(self, scores: Mapping[str, Tensor], target: Inputs, present: Mapping[str, Tensor]) -> None:
        if self.weighted:
            logs, there = self.opened(scores, present)
            right = accuracy(logs, truth(target, logs[0], self.space), there)
            better = (right.logit() + torch.tensor(logs.shape[-1] - 1.0).log()).clamp(min=0)
            self.weights.copy_(better / better.mean().clamp(min=1e-6))
