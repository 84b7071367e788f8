"""`decision_product`: the normalised product of the sources' probabilities."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from mmsdk.builtin.fusions.scores import stack
from mmsdk.interfaces import DecisionFusion


class DecisionProduct(DecisionFusion):
    """The product rule for labels that are equally likely beforehand: p is proportional to prod_m p_m^{a_m}.

    Kittler et al., "On Combining Classifiers", 1998. It takes the sources for independent, and each can veto.
    Absence is exact; a row without any source gets equal probabilities. There are no parameters.

    space: what the scores are, and the result: "log_probabilities" or "log_odds".
    """

    def __init__(self, space: str) -> None:
        super().__init__()
        self.space = space

    def forward(self, scores: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
        """scores [batch, ...] and present [batch] bool of each source -> [batch, ...]."""
        total = stack(scores, present)[0].sum(dim=0)  # logarithms: a product of probabilities, or of odds
        return total.log_softmax(dim=-1) if self.space == "log_probabilities" else total
