"""One vector per row from its tokens, whatever stands in the padding."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmsdk.containers import Encoding


def masked_mean(tokens: Tensor, mask: Tensor) -> Tensor:
    """tokens [batch, length, width], mask [batch, length] bool -> [batch, width]; zeros for an all-False row."""
    total = tokens.masked_fill(~mask[..., None], 0).sum(dim=1)  # [batch, width]
    return total / mask.sum(dim=1, keepdim=True).clamp(min=1)


def masked_max(tokens: Tensor, mask: Tensor) -> Tensor:
    """tokens [batch, length, width], mask [batch, length] bool -> [batch, width]; zeros for an all-False row."""
    largest = tokens.masked_fill(~mask[..., None], float("-inf")).amax(dim=1)  # [batch, width]
    return largest.masked_fill(~mask.any(dim=1, keepdim=True), 0)


def clean(tokens: Tensor, mask: Tensor, pooled: Tensor) -> Encoding:
    """An `Encoding` with zeros in the padding and zeros as the pooled vector of an all-False row."""
    present = mask.any(dim=1, keepdim=True)  # [batch, 1]
    return Encoding(tokens.masked_fill(~mask[..., None], 0), mask, pooled.masked_fill(~present, 0))


class MeanMax(nn.Module):
    """One vector per row: a linear layer over the mean and the maximum of its tokens, whatever the padding holds.

    Args:
        width: of the tokens, and of the vector.
        dropout: of the two before they are joined.
    """

    def __init__(self, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.join = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * width, width))

    def forward(self, tokens: Tensor, mask: Tensor) -> Encoding:
        """tokens [n, length, width], mask [n, length] bool; a row without any token gives zeros."""
        both = torch.cat([masked_mean(tokens, mask), masked_max(tokens, mask)], dim=1)  # [n, 2 * width]
        return clean(tokens, mask, self.join(both))
