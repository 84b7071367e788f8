"""The target label_sequence: a label for each step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsdk.builtin.modalities.class_target import ClassTarget
from mmsdk.builtin.modalities.padding import padded
from mmsdk.builtin.modalities.scalars import Label, as_list, shown
from mmsdk.containers import Inputs
from mmsdk.errors import DecodeError

Ids = NDArray[np.int64]


class LabelSequence(ClassTarget):
    """A label per step. Kind "label_sequence": ids [n, length] int64, mask [n, length] bool."""

    kind = "label_sequence"

    def __init__(self, max_length: int = 4096) -> None:
        super().__init__()
        self.max_length = max_length

    def labels_of(self, value: Any) -> list[Any]:
        labels = as_list(value)
        if not labels:
            raise DecodeError(f"expected a list with a label for each step, got {shown(value)}")
        return labels

    def prepare(self, value: Any) -> Ids:
        labels = self.labels_of(value)[: self.max_length]
        return np.array([self._id_at(step, label) for step, label in enumerate(labels)], dtype=np.int64)

    def _id_at(self, step: int, label: Any) -> int:
        try:
            return self.known.id_of(label)
        except DecodeError as error:
            raise DecodeError(f"step {step}: {error.reason}") from None

    def blank(self) -> Ids:
        return np.zeros(1, dtype=np.int64)

    def length(self, item: Ids) -> int:
        return len(item)

    def collate(self, items: Sequence[Ids]) -> Inputs:
        ids, mask = padded(items)
        return {"ids": ids, "mask": mask}

    def decode(self, tensors: Inputs) -> list[list[Label]]:
        rows = zip(tensors["ids"], tensors["mask"], strict=True)
        return [[self.classes[place] for place in ids[mask].tolist()] for ids, mask in rows]
