"""`decision_borda`: each source ranks the labels."""

from __future__ import annotations

import torch
from torch import Tensor

from mmsdk.builtin.fusions.scores import Rule, counted, log_mean


class DecisionBorda(Rule):
    """p(c) is proportional to the number of labels that the present sources rank below c, added up over them.

    The Borda count, as in Ho, Hull and Srihari, "Decision Combination in Multiple Classifier Systems", 1994. Labels
    that are equally probable count half for each other. Half a point more is shared out by the mean of the
    probabilities: it decides ties, and leaves no label at zero. Only the order tells which label wins; the result is no
    calibrated probability. Absence is exact; a row without any source gets equal probabilities. There are no
    parameters.
    """

    def __init__(self) -> None:
        super().__init__("log_probabilities")

    def combine(self, logs: Tensor, there: Tensor) -> Tensor:
        given = logs.detach().contiguous()
        if torch.compiler.is_exporting():  # ONNX has no search: each label is compared with each other one
            below = (given[..., None, :] < given[..., None]).sum(dim=-1)
            as_good = (given[..., None, :] == given[..., None]).sum(dim=-1) - 1
        else:
            ordered = given.sort(dim=-1).values
            below = torch.searchsorted(ordered, given)  # [sources, batch, ..., classes]
            as_good = torch.searchsorted(ordered, given, right=True) - below - 1
        points = (below + as_good / 2).masked_fill(~counted(there), 0).sum(dim=0)  # [batch, ..., classes]
        return torch.logaddexp(points.log(), log_mean(logs, there) - torch.tensor(2.0).log())
