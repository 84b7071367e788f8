"""Temperature scaling: how much less, or more, certain a source should be."""

from __future__ import annotations

import torch
from torch import Tensor

COLDEST, HOTTEST = 0.05, 20.0
STEPS = 50


def temperatures(logs: Tensor, truth: Tensor, there: Tensor) -> Tensor:
    """The temperature T of each source [sources] at which softmax(logs / T) has the smallest log-loss.

    Guo et al., "On Calibration of Modern Neural Networks", 2017. logs [sources, rows, ..., classes], truth [rows, ...,
    classes] probabilities, there [sources, rows, ..., 1] bool. As in Platt, "Probabilistic Outputs for Support Vector
    Machines", 1999, the truth counts for a little less than certain, by one row in all: few rows that are all right
    would ask for a temperature of zero. The log-loss is convex in 1 / T, so its slope is followed to zero by halving.
    """
    sources, classes = len(logs), logs.shape[-1]
    flat = logs.double().flatten(1, -2)  # [sources, rows, classes]
    mask = there.expand(*logs.shape[:-1], 1).reshape(sources, -1, 1)
    rows = mask.sum(dim=1, keepdim=True)  # [sources, 1, 1]
    aimed = (rows * truth.double().reshape(1, -1, classes) + 1 / classes) / (rows + 1)
    low = torch.full((sources,), 1 / HOTTEST, dtype=torch.float64)
    high = torch.full((sources,), 1 / COLDEST, dtype=torch.float64)
    for _ in range(STEPS):
        middle = (low * high).sqrt()
        found = (flat * middle[:, None, None]).softmax(dim=2)
        slope = ((found - aimed) * flat).masked_fill(~mask, 0).sum(dim=(1, 2))  # of the log-loss by 1 / T
        low, high = torch.where(slope < 0, middle, low), torch.where(slope < 0, high, middle)
    known = mask.any(dim=1)[:, 0]  # [sources]
    return torch.where(known, (low * high).rsqrt(), 1.0).to(logs)
