"""What a modality has learned, or an error that says what to call first."""

from __future__ import annotations

from typing import TypeVar

from mmsdk.errors import DataError

Learned = TypeVar("Learned")


def fitted(learned: Learned | None, modality: object) -> Learned:
    """`learned`, unless the modality has not been fitted yet.

    Raises:
        DataError: neither `fit` nor `restore` was called.
    """
    if learned is None:
        name = type(modality).__name__
        raise DataError(f"{name} has learned nothing yet: call `fit(values)` or `restore(state)` first")
    return learned
