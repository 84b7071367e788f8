"""The target soft_label: a share for each label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mmsdk.builtin.modalities.class_target import ClassTarget
from mmsdk.builtin.modalities.scalars import as_list, finite_number, shown
from mmsdk.containers import Inputs
from mmsdk.errors import DecodeError

Shares = NDArray[np.float32]


class SoftLabel(ClassTarget):
    """A share for each label. Kind "soft_label": probabilities [n, classes] float32, each row sums to 1."""

    kind = "soft_label"

    def labels_of(self, value: Any) -> list[Any]:
        labels = list(value) if isinstance(value, Mapping) else as_list(value)
        if labels is None:
            expected = "a mapping from label to weight, or a list of votes"
            raise DecodeError(f"expected {expected}, got {shown(value)}")
        return labels

    def prepare(self, value: Any) -> Shares:
        weights = np.zeros(len(self.known))
        for label in self.labels_of(value):
            weight = finite_number(value[label]) if isinstance(value, Mapping) else 1.0
            if weight < 0:
                raise DecodeError(f"the weight of label {shown(label)} is {weight:g}: expected zero or more")
            weights[self.known.id_of(label)] += weight
        if not weights.sum() > 0:
            raise DecodeError(f"expected a weight above zero for at least one label, got {shown(value)}")
        shares: Shares = (weights / weights.sum()).astype(np.float32)
        return shares

    def blank(self) -> Shares:
        return np.full(len(self.known), 1 / len(self.known), dtype=np.float32)

    def collate(self, items: Sequence[Shares]) -> Inputs:
        return {"probabilities": torch.from_numpy(np.stack(items))}

    def decode(self, tensors: Inputs) -> list[dict[str, float]]:
        """The share of each label, by the label's text."""
        names = [str(label) for label in self.classes]
        return [dict(zip(names, row, strict=True)) for row in tensors["probabilities"].tolist()]
