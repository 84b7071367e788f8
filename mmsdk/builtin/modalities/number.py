"""The target that is a number, or a few."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mmsdk.builtin.modalities.fitted import fitted
from mmsdk.builtin.modalities.scalars import as_list, finite_number, shown
from mmsdk.builtin.modalities.standardization import Rows, Standardization
from mmsdk.containers import Inputs
from mmsdk.errors import DataError, DecodeError
from mmsdk.formats import Format
from mmsdk.interfaces import Modality


class Number(Modality):
    """One number per sample, or a list of `width` numbers, standardized on the training samples.

    Kind "number": values, center and scale, each [n, width] float32; raw numbers are values * scale + center.
    """

    fits = True

    def __init__(self) -> None:
        self._standard: Standardization | None = None

    def fit(self, values: Iterable[Any]) -> None:
        """Learn the width from the first value, mean and deviation from all. Others are passed over.

        Raises:
            DataError: not one value can be read.
        """
        rows = _readable(values)
        first = next(rows, None)
        if first is None:
            raise DataError("a target of type 'number' needs numbers; not one training sample has any")
        width = len(first)
        same = (row[None] for row in chain([first], rows) if len(row) == width)
        self._standard = Standardization.learn(width, same)

    @property
    def standard(self) -> Standardization:
        return fitted(self._standard, self)

    @property
    def format(self) -> Format:
        return Format("number", width=len(self.standard.center))

    def state(self) -> dict[str, Any]:
        return self.standard.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        self._standard = Standardization.restored(state)

    def prepare(self, value: Any) -> NDArray[np.float32]:
        """[width], standardized."""
        row, width = _row(value), len(self.standard.center)
        if len(row) != width:
            raise DecodeError(f"expected {width} number(s), as in training, got {len(row)}: {shown(value)}")
        return self.standard.apply(row)

    def blank(self) -> NDArray[np.float32]:
        return np.zeros(len(self.standard.center), dtype=np.float32)

    def collate(self, items: Sequence[NDArray[np.float32]]) -> Inputs:
        values = torch.from_numpy(np.stack(items))  # [n, width]
        center, scale = (torch.from_numpy(part).float() for part in (self.standard.center, self.standard.scale))
        return {
            "values": values,
            "center": center.repeat(len(items), 1),
            "scale": scale.repeat(len(items), 1),
        }

    def decode(self, tensors: Inputs) -> list[float] | list[list[float]]:
        """Raw numbers from standardized values [n, width]; lists where the width is above 1."""
        values = tensors["values"].detach().cpu().double().numpy()
        raw: list[list[float]] = (values * self.standard.scale + self.standard.center).tolist()
        return raw if len(self.standard.center) > 1 else [row[0] for row in raw]


def _row(value: Any) -> Rows:
    values = as_list(value)
    if values is None:
        values = [value]
    if not values:
        raise DecodeError("expected a number or a list of numbers, got an empty list")
    return np.array([finite_number(number) for number in values])


def _readable(values: Iterable[Any]) -> Iterator[Rows]:
    for value in values:
        try:
            yield _row(value)
        except DecodeError:
            continue
