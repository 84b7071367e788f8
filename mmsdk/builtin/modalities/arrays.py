"""Arrays of numbers: from lists, arrays, tensors, and files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open

from mmsdk.builtin.modalities.files import existing_file
from mmsdk.builtin.modalities.scalars import LARGEST, shown
from mmsdk.builtin.modalities.standardization import Rows
from mmsdk.errors import DecodeError, listed

Array = np.ndarray[Any, Any]
NUMERIC = "biuf"
"""The kinds of numpy types that are numbers."""
EXPECTED = "expected a vector of numbers, or a list of vectors of one width"


def steps_of(value: Any, tensor: str | None = None) -> Rows:
    """A vector, or one per step, as [length, width] float64; neither is 0.

    value: nested lists, an array, a tensor, or the path of a .npy or .safetensors file.
    tensor: its name in a .safetensors file that holds several.

    Raises:
        DecodeError: it cannot be read, or something in it is no finite number; the message says where.
    """
    array = _array(value, tensor)
    if array.dtype.kind not in NUMERIC:
        raise DecodeError(f"{EXPECTED}; got {_first_other(array)}")
    if array.ndim not in (1, 2) or array.size == 0:
        raise DecodeError(f"{EXPECTED}; got the shape {list(array.shape)}")
    steps = array.astype(np.float64)
    wrong = ~(np.abs(steps) <= LARGEST)  # NaN is not smaller than anything
    if wrong.any():
        place = np.argwhere(wrong)[0]
        raise DecodeError(f"expected finite numbers; got {steps[tuple(place)]} at {_place(place)}")
    return np.atleast_2d(steps)


def _array(value: Any, tensor: str | None) -> Array:
    if isinstance(value, str | Path):
        return _from_file(Path(value), tensor)
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().double().numpy()
    if not isinstance(value, list | tuple | np.ndarray):
        raise DecodeError(f"{EXPECTED}, or a .npy or .safetensors file; got {shown(value)}")
    try:
        array = np.asarray(value)
        # Beside text numpy turns numbers into text, too: keep each element as it came, for the message.
        return array if array.dtype.kind in NUMERIC else np.asarray(value, dtype=object)
    except ValueError:
        raise DecodeError(f"{EXPECTED}; got lists of different lengths") from None


def _first_other(array: Array) -> str:
    """The first element that is no number, with its place."""
    for place, element in np.ndenumerate(array.astype(object)):
        if not isinstance(element, int | float):
            return f"{shown(element)} at {_place(place)}"
    return "numbers that are too large"


def _place(place: Sequence[int]) -> str:
    return f"[{', '.join(str(index) for index in place)}], counted from 0"


def _from_file(path: Path, tensor: str | None) -> Array:
    readers = {".npy": _from_npy, ".safetensors": _from_safetensors}
    if path.suffix not in readers:
        raise DecodeError(f"expected a .npy or .safetensors file, got '{path}'")
    existing_file(path)
    try:
        return readers[path.suffix](path, tensor)
    except DecodeError:
        raise
    except Exception as error:  # damaged files raise many types
        raise DecodeError(f"cannot read '{path}': {error}") from error


def _from_npy(path: Path, tensor: str | None) -> Array:
    with path.open("rb") as file:
        array: Array = np.lib.format.read_array(file, allow_pickle=False)
    return array


def _from_safetensors(path: Path, tensor: str | None) -> Array:
    with safe_open(path, framework="pt") as file:
        names = list(file.keys())
        if tensor is None and len(names) != 1:
            raise DecodeError(f"'{path}' holds {listed(names, 'no tensor')}: say which with 'tensor: NAME'")
        name = tensor if tensor is not None else names[0]
        if name not in names:
            raise DecodeError(f"'{path}' has no tensor '{name}'; it holds {listed(names, 'none')}")
        return _array(file.get_tensor(name), None)
