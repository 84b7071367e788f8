"""Mean 0 and standard deviation 1 per column, learned in one pass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mmsdk.builtin.modalities.scalars import LARGEST

ROWS_AT_ONCE = 64
"""How many values are joined before they are counted: few enough for long sequences, enough to be quick."""
CONSTANT = 1e-9
"""A deviation below this share of the mean is rounding: the column is constant."""

Rows = NDArray[np.float64]


class Standardization:
    """The mean `center` and the standard deviation `scale` of each column, both [width] float64.

    NaN counts as missing, in each column by itself. A column that is constant, or empty, has scale 1.
    """

    def __init__(self, center: Rows, scale: Rows) -> None:
        self.center, self.scale = center, scale

    @classmethod
    def learn(cls, width: int, values: Iterable[Rows]) -> Standardization:
        """values: arrays [rows, width]. Partial sums are merged as in Chan, Golub and LeVeque (1979),
        "Updating formulae and a pairwise algorithm for computing sample variances"."""
        count, mean, squares = np.zeros(width), np.zeros(width), np.zeros(width)
        remaining = iter(values)
        while chunk := list(islice(remaining, ROWS_AT_ONCE)):
            rows = np.concatenate(chunk)  # [rows, width]
            known = ~np.isnan(rows)
            new = known.sum(axis=0)
            total = np.maximum(count + new, 1)
            new_mean = np.where(known, rows, 0).sum(axis=0) / np.maximum(new, 1)
            shift = new_mean - mean
            squares += np.where(known, (rows - new_mean) ** 2, 0).sum(axis=0) + shift**2 * count * new / total
            mean += shift * new / total
            count += new
        scale = np.sqrt(squares / np.maximum(count, 1))
        return cls(mean, np.where(scale > CONSTANT * np.abs(mean), scale, 1.0))

    def apply(self, rows: Rows) -> NDArray[np.float32]:
        """[..., width] -> the same, standardized. Finite numbers stay finite, NaN stays NaN."""
        with np.errstate(over="ignore"):
            standard = (rows - self.center) / self.scale
        return np.clip(standard, -LARGEST, LARGEST).astype(np.float32)

    def state(self) -> dict[str, Any]:
        return {"center": torch.from_numpy(self.center), "scale": torch.from_numpy(self.scale)}

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Standardization:
        center, scale = (np.asarray(state[key], dtype=np.float64) for key in ("center", "scale"))
        if center.ndim != 1 or center.shape != scale.shape:
            raise ValueError(f"expected a mean and a deviation per column, found {center.shape} and {scale.shape}")
        if not (np.isfinite(center).all() and (scale > 0).all() and np.isfinite(scale).all()):
            raise ValueError("a mean or a deviation is not finite, or not above 0")
        return cls(center, scale)
