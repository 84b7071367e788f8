"""`decision_dempster_shafer`: sources as evidence of limited reliability."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mmsdk.builtin.fusions.evidence import combined, of_share
from mmsdk.builtin.fusions.judged import accuracy
from mmsdk.builtin.fusions.scores import Rule, truth
from mmsdk.containers import Inputs


class DecisionDempsterShafer(Rule):
    """Dempster's rule over m_m(c) = r_m p_m(c) for each label c, and m_m(frame) = 1 - r_m.

    Shafer, "A Mathematical Theory of Evidence", 1976: a source's probabilities are discounted by its reliability r_m,
    and the rest of its belief is on the whole frame, that is, on nothing in particular. So a source can veto only as
    far as it is reliable: with r near 1 this is `decision_product`. What remains on the frame is shared out evenly at
    the end.

    Absence is exact: an absent source believes in the frame alone. A row without any source gets equal probabilities.

    reliability: of each source; None for its accuracy on held-out rows, which `fit` finds, and 0.9 before.
    """

    reliability: Tensor

    def __init__(self, space: str, sources: int, reliability: float | None = 0.9) -> None:
        super().__init__(space)
        self.fits = reliability is None
        self.register_buffer("reliability", torch.full((sources,), 0.9 if reliability is None else reliability))

    def combine(self, logs: Tensor, there: Tensor) -> Tensor:
        share = self.reliability.view(-1, *[1] * (logs.dim() - 1))
        return combined(of_share(logs, share), there)

    def fit(self, scores: Mapping[str, Tensor], target: Inputs, present: Mapping[str, Tensor]) -> None:
        if self.fits:
            logs, there = self.opened(scores, present)
            self.reliability.copy_(accuracy(logs, truth(target, logs[0], self.space), there))
