"""One vector per row from tokens."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

Pooling = Literal["mean", "cls", "last", "pooler"]


def pooled(tokens: Tensor, mask: Tensor, pooling: Pooling) -> Tensor:
    """tokens [n, length, width], mask [n, length] bool -> [n, width]; rows without any True give some finite vector."""
    if pooling == "cls":
        return tokens[:, 0]
    if pooling == "last":
        last = (mask.sum(dim=1) - 1).clamp(min=0)  # [n]
        return tokens.gather(1, last[:, None, None].expand(-1, 1, tokens.shape[2]))[:, 0]
    there = mask[..., None]  # [n, length, 1]
    return tokens.masked_fill(~there, 0).sum(dim=1) / there.sum(dim=1).clamp(min=1)
