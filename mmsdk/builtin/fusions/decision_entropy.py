"""`decision_entropy`: a source that wavers counts less."""

from __future__ import annotations

from torch import Tensor

from mmsdk.builtin.fusions.scores import Rule, log_mean


class DecisionEntropy(Rule):
    """p = sum_m w_m p_m / sum_m w_m over the present sources, with w_m = exp(-H(p_m)), H in nats, for each sample.

    Of the rules that weigh by certainty (Zhang et al., "Provable Dynamic Fusion for Low-Quality Multimodal Data", 2023,
    which trains an energy for it) this is the one without training: exp(H) is the number of labels that a source
    wavers between. It helps as far as sources know when they do not know. Absence is exact; a row without any source
    gets equal probabilities. There are no parameters.
    """

    def combine(self, logs: Tensor, there: Tensor) -> Tensor:
        negative_entropy = (logs.exp() * logs).sum(dim=-1, keepdim=True)  # [sources, batch, ..., 1]
        return log_mean(logs, there, negative_entropy)
