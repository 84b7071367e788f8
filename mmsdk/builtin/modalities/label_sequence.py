"""The target label_sequence: a label for each step, or None."""

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
    """A label per step, None where there is none. Kind "label_sequence": ids [n, length] int64, mask [n, length] bool.

    An item: ids [length], -1 where there is none.
    """

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
        ids = [-1 if label is None else self._id_at(step, label) for step, label in enumerate(labels)]
        return np.array(ids, dtype=np.int64)

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
        ids = padded(items, fill=-1)[0]
        return {"ids": ids.clamp(min=0), "mask": ids >= 0}

    def decode(self, tensors: Inputs) -> list[list[Label | None]]:
        """None among labels; those after the last one cannot be told from padding."""
        found = []
        for ids, mask in zip(tensors["ids"], tensors["mask"], strict=True):
            length = int(mask.nonzero().amax()) + 1 if mask.any() else 0
            there = mask[:length].tolist()
            found.append([self.classes[own] if here else None for own, here in zip(ids.tolist(), there, strict=False)])
        return found
