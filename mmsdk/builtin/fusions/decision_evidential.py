"""`decision_evidential`: sources tell how much they know."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from mmsdk.builtin.fusions.evidence import combined, of_counts
from mmsdk.builtin.fusions.scores import Rule


class DecisionEvidential(Rule):
    """Dempster's rule over Dirichlet evidence e_m(c): b_m(c) = e_m(c) / S_m, u_m = K / S_m, S_m = K + sum_c e_m(c).

    The combination of Han et al., "Trusted Multi-View Classification", 2021 (TMC), for K labels: b(c) is proportional
    to b_1(c) b_2(c) + b_1(c) u_2 + b_2(c) u_1, and u to u_1 u_2. The result is the mean of the joined Dirichlet
    distribution, b(c) + u / K.

    Not all of the paper is here. It trains networks that give evidence, with a loss of its own; heads give
    log-probabilities, which have lost how large the network's outputs were. So the evidence is made from them: e_m =
    softplus(l_m), where l_m are the log-probabilities minus their mean, and what is trained is the heads' own loss.
    With `loss: both` the joined probabilities are trained as well, by cross-entropy.

    Absence is exact: an absent source has no evidence. A row without any gets equal probabilities. There are no
    parameters.
    """

    def combine(self, logs: Tensor, there: Tensor) -> Tensor:
        return combined(of_counts(F.softplus(logs - logs.mean(dim=-1, keepdim=True))), there)
