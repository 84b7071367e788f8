"""What the decision rules share: scores side by side, probabilities in every space, and their means."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from mmsdk.containers import Inputs
from mmsdk.errors import TrainingError, listed
from mmsdk.interfaces import DecisionFusion


class Rule(DecisionFusion):
    """Base of rules that see probabilities, of classes that exclude one another, or values.

    A label that is there or not is a pair of such classes, yes and no, with odds in between. A row without any source
    gets equal probabilities, or zeros.

    space: what the scores are, and the result: "log_probabilities", "log_odds" or "values".
    """

    def __init__(self, space: str) -> None:
        super().__init__()
        self.space = space

    def forward(self, scores: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
        """scores [batch, ...] and present [batch] bool of each source -> [batch, ...]."""
        opened, there = self.opened(scores, present)
        if self.space == "values":
            return self.average(opened, there)
        joined = self.combine(opened, there)
        return joined.log_softmax(dim=-1) if self.space == "log_probabilities" else joined[..., 0] - joined[..., 1]

    @abstractmethod
    def combine(self, logs: Tensor, there: Tensor) -> Tensor:
        """Log-probabilities [sources, batch, ..., classes] -> [batch, ..., classes], up to a constant.

        there: [sources, batch, ..., 1] bool; where it is False, all classes are equally probable.
        """

    def average(self, values: Tensor, there: Tensor) -> Tensor:
        """values [sources, batch, ...], zeros where not there -> [batch, ...]."""
        raise NotImplementedError(f"{type(self).__name__} does not join values")

    def opened(self, scores: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Log-probabilities [sources, batch, ..., classes] or values, and a mask that broadcasts over them."""
        stacked, there = stack(scores, present)
        if self.space == "log_probabilities":
            # Normalising again changes nothing but the zeros of absent sources, which become equal shares.
            return stacked.log_softmax(dim=-1), there
        if self.space == "log_odds":
            # Both logarithms, each taken where it is accurate.
            return torch.stack([F.logsigmoid(stacked), F.logsigmoid(-stacked)], dim=-1), there[..., None]
        return stacked, there


def stack(scores: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Scores [sources, batch, ...], zeros where absent, and a mask that broadcasts over them."""
    stacked = torch.stack(list(scores.values())).float()
    there = torch.stack(list(present.values())).view(*stacked.shape[:2], *[1] * (stacked.dim() - 2))
    return stacked.masked_fill(~there, 0), there


def counted(there: Tensor) -> Tensor:
    """Which sources count, as [sources, batch, ...]: those that are there, and all of them where none is."""
    return there | ~there.any(dim=0)


def log_mean(logs: Tensor, there: Tensor, weights: Tensor | None = None) -> Tensor:
    """log(sum_m w_m exp(logs_m) / sum_m w_m) over the sources that count; weights are logarithms, by default equal.

    logs [sources, batch, ...], weights broadcast over them -> [batch, ...].
    """
    lowest = torch.finfo(logs.dtype).min  # finite: a row that is nothing but -inf has no gradient
    mask = ~counted(there)
    weights = torch.zeros_like(there, dtype=logs.dtype) if weights is None else weights
    total = (logs + weights).masked_fill(mask, lowest).logsumexp(dim=0)
    return total - weights.masked_fill(mask, lowest).logsumexp(dim=0)


def truth(target: Inputs, logs: Tensor, space: str) -> Tensor:
    """What a target says, as probabilities of the shape of one source's `logs`: [rows, ..., classes].

    Raises:
        TrainingError: it is no target of labels.
    """
    if space == "log_odds" and "values" in target:
        return torch.stack([target["values"], 1 - target["values"]], dim=-1).to(logs)
    if "probabilities" in target:
        return target["probabilities"].to(logs)
    if "ids" in target:
        return F.one_hot(target["ids"], logs.shape[-1]).to(logs)
    raise TrainingError(f"A decision rule cannot learn from a target of {listed(target)}: use decision_mean")
