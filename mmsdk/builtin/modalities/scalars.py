"""Single raw values, from JSON, from CSV (where all is text), from numpy: numbers, labels, missing ones."""

from __future__ import annotations

import math
import reprlib
from typing import Any

import numpy as np

from mmsdk.errors import DecodeError

LARGEST = float(np.finfo(np.float32).max)

Label = str | int | float | bool


def shown(value: Any) -> str:
    """The value as a message shows it: short."""
    return reprlib.repr(value)


def is_missing(value: Any) -> bool:
    """None, blank text, or NaN."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, float | np.floating) and math.isnan(value))


def whole_text(text: str) -> str:
    """The text, with "?" for half characters. JSON can say them ("\\ud800"), but no file can hold them."""
    return text.encode("utf-8", "replace").decode("utf-8")


def as_list(value: Any) -> list[Any] | None:
    """The elements of a list, a tuple or an array; None for anything else."""
    if isinstance(value, np.ndarray):
        return list(value) if value.ndim else None
    return list(value) if isinstance(value, list | tuple) else None


def number_or_nan(value: Any) -> float:
    """A number, or text that says one; NaN where the value is missing.

    Raises:
        DecodeError: the value is no number, is infinite, or does not fit into 32 bits.
    """
    if is_missing(value):
        return math.nan
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise DecodeError(f"expected a number, got {shown(value)}") from None
    except OverflowError:
        number = math.inf
    if abs(number) > LARGEST:
        raise DecodeError(f"expected a finite number of at most 3.4e38, got {shown(value)}")
    return number


def finite_number(value: Any) -> float:
    """Like `number_or_nan`, but a missing number is a DecodeError as well."""
    number = number_or_nan(value)
    if math.isnan(number):
        raise DecodeError(f"expected a number, got {shown(value)}")
    return number


def plain_label(value: Any) -> Label:
    """A label as plain Python: text, a number or a bool. 3.0 is the label 3, "3" stays text.

    Raises:
        DecodeError: the value is no label.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        if not math.isfinite(value):
            raise DecodeError(f"expected a label, got {value}")
        return int(value) if value.is_integer() else value
    if isinstance(value, str):
        return whole_text(value)
    if isinstance(value, int):
        return value
    raise DecodeError(f"expected a label (text, a number, true or false), got {shown(value)}")
