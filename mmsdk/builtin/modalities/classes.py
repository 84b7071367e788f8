"""The classes of a target: the different labels of the training samples, in a fixed order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mmsdk.builtin.modalities.scalars import Label, plain_label, shown
from mmsdk.errors import DecodeError, listed

SHOWN = 20


class Classes:
    """Labels with ids 0, 1, ...: numbers by size, then text by alphabet.

    A label is found by its text, so that "3" from a CSV file and 3 from a JSON file are one class.
    """

    def __init__(self, labels: Iterable[Label]) -> None:
        self.labels = list(labels)
        self._ids = {str(label): place for place, label in enumerate(self.labels)}

    @classmethod
    def learn(cls, values: Iterable[Any]) -> Classes:
        """The classes of raw labels, whatever their order. Values that are no labels are passed over."""
        found: dict[str, Label] = {}
        for value in values:
            try:
                label = plain_label(value)
            except DecodeError:
                continue
            if isinstance(found.get(str(label), ""), str):  # of 3 and "3" the number stays
                found[str(label)] = label
        return cls(sorted(found.values(), key=_rank))

    def __len__(self) -> int:
        return len(self.labels)

    def id_of(self, value: Any) -> int:
        """The id of a raw label.

        Raises:
            DecodeError: the value is no label, or was never seen in training.
        """
        label = plain_label(value)
        place = self._ids.get(str(label))
        if place is None:
            raise DecodeError(f"label {shown(label)} was never seen in training; known: {self.summary()}")
        return place

    def summary(self) -> str:
        """The first classes, as messages list them."""
        more = len(self.labels) - SHOWN
        return listed(self.labels[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _rank(label: Label) -> tuple[bool, float, str]:
    if isinstance(label, str | bool):
        return True, 0.0, str(label)
    return False, label, str(label)
