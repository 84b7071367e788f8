"""Losses of a mean over the whole data, such as of how often an expert is asked, as sums over rows.

A function of a batch's mean is no sum over rows: two halves of a batch would not add up to the whole. So the mean is
followed over the batches, the function is taken there, and each row goes down the slope that the function has there.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RunningMean(nn.Module):
    """Follows the mean of something over the rows that training sees.

    shape: of what each row gives. start: the mean before anything was seen. momentum: share of the newest batch.
    """

    mean: Tensor

    def __init__(self, *shape: int, start: float = 0.0, momentum: float = 0.1) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("mean", torch.full(shape, start))

    def follow(self, values: Tensor, present: Tensor) -> None:
        """Take in a batch, in training: values [batch, *shape], of which the rows in present [batch] bool count."""
        if not self.training:
            return
        values = values.detach().float().masked_fill(_wide(~present, values), 0)
        count = present.sum()
        newest = values.sum(dim=0) / count.clamp(min=1)
        self.mean += self.momentum * (count > 0) * (newest - self.mean)

    def at(self, values: Tensor, shares: Tensor) -> Tensor:
        """The mean so far; its gradient goes to each row's values [batch, *shape], as much as shares [batch] say."""
        total = (values.float() * _wide(shares, values)).sum(dim=0)
        return self.mean.clone() + (total - total.detach())


def of_rows(loss: Tensor, shares: Tensor) -> Tensor:
    """A loss of `RunningMean.at` as a sum over rows: its value once per row, its gradient as it is."""
    return loss + loss.detach() * (shares.sum() - 1)


def _wide(rows: Tensor, values: Tensor) -> Tensor:
    """rows [batch] -> [batch, 1, ...] with as many dimensions as the values."""
    return rows.view(-1, *[1] * (values.dim() - 1))
