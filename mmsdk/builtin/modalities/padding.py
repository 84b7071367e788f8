"""Items of different lengths in one tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor


def padded(items: Sequence[np.ndarray[Any, Any]], fill: float = 0) -> tuple[Tensor, Tensor]:
    """n items [length, ...] -> values [n, longest, ...], filled up at the end, and mask [n, longest] bool."""
    lengths = np.array([len(item) for item in items])
    values = np.full((len(items), lengths.max(), *items[0].shape[1:]), fill, dtype=items[0].dtype)
    for row, item in zip(values, items, strict=True):
        row[: len(item)] = item
    mask = np.arange(lengths.max()) < lengths[:, None]  # [n, longest]
    return torch.from_numpy(values), torch.from_numpy(mask)
