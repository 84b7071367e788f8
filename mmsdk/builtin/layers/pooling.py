"""One vector per row from its tokens, whatever stands in the padding."""

from __future__ import annotations

from torch import Tensor

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
