"""The labels of a target, for heads that predict them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, cast

from mmsdk.interfaces import Modality, Prediction


class _WithClasses(Protocol):
    classes: Sequence[Any]


def labels_of(target: Modality | None) -> Sequence[Any]:
    """The labels in the order of their ids. Modalities of labels have them as `classes`."""
    return cast(_WithClasses, target).classes


def judged(labels: Sequence[Any], shares: Sequence[float]) -> Prediction:
    """The most probable label, its probability, and those of all labels by their text."""
    best = max(range(len(shares)), key=shares.__getitem__)
    return Prediction(labels[best], shares[best], dict(zip(map(str, labels), shares, strict=True)))
