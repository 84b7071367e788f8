"""Dempster's rule for evidence that speaks of single labels or of nothing."""

from __future__ import annotations

import torch
from torch import Tensor


def combined(evidence: Tensor, there: Tensor) -> Tensor:
    """Log-probabilities, up to a constant, from masses of single labels c and of the whole frame.

    evidence: log(1 + m(c) / m(frame)) [sources, batch, ..., classes], of each source.

    Dempster's rule multiplies masses and leaves out what contradicts itself (Shafer, "A Mathematical Theory of
    Evidence", 1976). With masses of single labels and the frame alone, m(c) is proportional to prod_m (m_m(c) +
    m_m(frame)) - prod_m m_m(frame). The mass of the frame is then shared out evenly (the pignistic probability of
    Smets and Kennes, "The Transferable Belief Model", 1994): divided by prod_m m_m(frame) this is exp(E(c)) - 1 + 1 / K
    with E(c) the sum of the evidence and K the number of labels.
    """
    total = evidence.masked_fill(~there, 0).sum(dim=0)  # [batch, ..., classes]
    return total + torch.log1p((1 / total.shape[-1] - 1) * torch.exp(-total))


def of_share(logs: Tensor, share: Tensor) -> Tensor:
    """Evidence of masses m(c) = share * p(c) and m(frame) = 1 - share, for log-probabilities."""
    return torch.log1p(logs.exp() * share / (1 - share))


def of_counts(counts: Tensor) -> Tensor:
    """Evidence of masses m(c) = e(c) / S and m(frame) = K / S with S = K + sum_c e(c), for counts e(c) >= 0."""
    return torch.log1p(counts / counts.shape[-1])
