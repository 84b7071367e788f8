"""The targets label, one per sample, and labels, any number of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mmsdk.builtin.modalities.class_target import ClassTarget
from mmsdk.builtin.modalities.scalars import Label as PlainLabel
from mmsdk.builtin.modalities.scalars import as_list
from mmsdk.containers import Inputs

Ids = NDArray[np.int64]


class Label(ClassTarget):
    """One label per sample. Kind "label": ids [n] int64."""

    kind = "label"

    def labels_of(self, value: Any) -> list[Any]:
        return [value]

    def prepare(self, value: Any) -> int:
        return self.known.id_of(value)

    def blank(self) -> int:
        return 0

    def collate(self, items: Sequence[int]) -> Inputs:
        return {"ids": torch.tensor(items, dtype=torch.int64)}

    def decode(self, tensors: Inputs) -> list[PlainLabel]:
        return [self.classes[place] for place in tensors["ids"].tolist()]


class Labels(ClassTarget):
    """Any number of labels per sample, even none. Kind "labels": values [n, classes] float32, 0 or 1."""

    kind = "labels"
    takes_empty = True
    fewest = 1

    def __init__(self, separator: str = ",") -> None:
        super().__init__()
        self.separator = separator

    def labels_of(self, value: Any) -> list[Any]:
        if isinstance(value, str):
            return [part.strip() for part in value.split(self.separator) if part.strip()]
        labels = as_list(value)
        return [value] if labels is None else labels

    def prepare(self, value: Any) -> Ids:
        return np.array([self.known.id_of(label) for label in self.labels_of(value)], dtype=np.int64)

    def blank(self) -> Ids:
        return np.zeros(0, dtype=np.int64)

    def collate(self, items: Sequence[Ids]) -> Inputs:
        values = np.zeros((len(items), len(self.known)), dtype=np.float32)
        for row, item in zip(values, items, strict=True):
            row[item] = 1
        return {"values": torch.from_numpy(values)}

    def decode(self, tensors: Inputs) -> list[list[PlainLabel]]:
        """Those labels whose value is above one half."""
        rows = (tensors["values"] > 0.5).tolist()
        return [[label for label, holds in zip(self.classes, row, strict=True) if holds] for row in rows]
