"""`decision_stacking`: a logistic regression over the scores of all sources."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mmsdk.builtin.fusions.scores import Rule, counted, truth
from mmsdk.containers import Inputs

STEPS = 200


class DecisionStacking(Rule):
    """p = softmax(mean_m (W_m l_m + b_m)) over the present sources, with log-probabilities l_m minus their mean.

    Wolpert, "Stacked Generalization", 1992. With all sources there it is the multinomial logistic regression over all
    scores side by side; where some are absent, the others are averaged, so absence is exact. `fit` finds W_m and b_m on
    held-out rows: the log-loss, added up, and `penalty` / 2 times the squares of W_m - 1 and b_m. So with few rows it
    stays near W_m = 1, the geometric mean of the probabilities, which it is before `fit`. Labels that are there or not
    share one regression of yes and no. A row without any source gets equal probabilities. There are sources * classes^2
    weights: with many classes and few rows take `decision_weighted`.
    """

    weights: Tensor
    biases: Tensor

    def __init__(self, space: str, sources: int, classes: int, penalty: float = 1.0) -> None:
        super().__init__(space)
        self.penalty = penalty
        self.register_buffer("weights", torch.eye(classes).repeat(sources, 1, 1))  # [sources, from, to]
        self.register_buffer("biases", torch.zeros(sources, classes))

    def combine(self, logs: Tensor, there: Tensor) -> Tensor:
        return _joined(logs, there, self.weights, self.biases)

    def fit(self, scores: Mapping[str, Tensor], target: Inputs, present: Mapping[str, Tensor]) -> None:
        logs, there = self.opened(scores, present)
        right = truth(target, logs[0], self.space).double()
        logs, known = logs.double(), there.any(dim=0)  # [rows, ..., 1]
        weights = torch.eye(logs.shape[-1], dtype=torch.float64).repeat(len(logs), 1, 1).requires_grad_()
        biases = torch.zeros(len(logs), logs.shape[-1], dtype=torch.float64, requires_grad=True)
        plain = weights.detach().clone()
        optimizer = torch.optim.LBFGS([weights, biases], max_iter=STEPS, line_search_fn="strong_wolfe")

        def objective() -> Tensor:
            optimizer.zero_grad()
            found = _joined(logs, there, weights, biases).log_softmax(dim=-1)
            missed = -(right * found).sum(dim=-1, keepdim=True).masked_fill(~known, 0).sum()
            loss = missed + self.penalty / 2 * (((weights - plain) ** 2).sum() + (biases**2).sum())
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        optimizer.step(objective)  # type: ignore[no-untyped-call]
        self.weights.copy_(weights.detach())
        self.biases.copy_(biases.detach())


def _joined(logs: Tensor, there: Tensor, weights: Tensor, biases: Tensor) -> Tensor:
    """[sources, batch, ..., classes] -> [batch, ..., classes], up to a constant."""
    centred = logs - logs.mean(dim=-1, keepdim=True)  # zeros where not there
    changed = torch.einsum("s...c,scd->s...d", centred, weights)
    changed = changed + biases.view(len(biases), *[1] * (logs.dim() - 2), -1)
    count = counted(there).sum(dim=0)  # [batch, ..., 1]
    return changed.masked_fill(~there, 0).sum(dim=0) / count
