"""Where a token stands, as sines and cosines of many wave lengths. Nothing is stored, so no length is too long."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def sinusoidal(length: int, width: int, like: Tensor) -> Tensor:
    """[length, width] on the device and in the dtype of `like` (Vaswani et al., "Attention Is All You Need", 2017).

    The first half of the width holds sines and the other half cosines, of wave lengths from 2 pi to 10,000 * 2 pi.
    """
    half = (width + 1) // 2
    places = torch.arange(length, device=like.device, dtype=torch.float32)  # [length]
    falling = torch.arange(half, device=like.device, dtype=torch.float32) * (-math.log(10_000) / max(half, 1))
    angles = places[:, None] * falling.exp()  # [length, half]
    return torch.cat([angles.sin(), angles.cos()], dim=1)[:, :width].to(like.dtype)


def sinusoidal_grid(rows: int, columns: int, width: int, like: Tensor) -> Tensor:
    """[rows * columns, width], row by row: half of the width tells the row, the other half the column."""
    of_row = sinusoidal(rows, width - width // 2, like)[:, None].expand(-1, columns, -1)
    of_column = sinusoidal(columns, width // 2, like)[None].expand(rows, -1, -1)
    return torch.cat([of_row, of_column], dim=2).flatten(0, 1)


def coordinates(rows: int, columns: int, like: Tensor) -> Tensor:
    """[2, rows, columns]: row and column of each place, from -1 to 1, on the device and in the dtype of `like`."""
    along = [torch.linspace(-1, 1, steps, device=like.device, dtype=like.dtype) for steps in (rows, columns)]
    return torch.stack(torch.meshgrid(*along, indexing="ij"))
