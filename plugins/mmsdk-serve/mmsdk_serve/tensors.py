"""Tensors of the Open Inference Protocol: as JSON, or as bytes behind it (its extension `binary_tensor_data`)."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mmsdk_serve.inputs import InputError, read_body

NUMBERS = {
    "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
    "INT8": "<i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8",
    "UINT8": "<u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8",
}  # fmt: skip
"""Datatypes, and how numpy calls them."""


class Tail:
    """The bytes behind the JSON of a request, taken tensor by tensor."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    def take(self, size: Any, where: str) -> bytes:
        """The next so many bytes.

        Raises:
            InputError: there are not so many.
        """
        if type(size) is not int or not 0 <= size <= len(self.data) - self.place:
            left = len(self.data) - self.place
            raise InputError(f"{where}.parameters.binary_data_size: {str(size)[:20]}, but {left} bytes are left")
        self.place += size
        return self.data[self.place - size : self.place]


def split(body: bytes, length: str | None) -> tuple[Any, Tail]:
    """The JSON of a request and the bytes behind it. length: the header Inference-Header-Content-Length.

    Raises:
        InputError: another length, or no JSON.
    """
    if length is None:
        return read_body(body), Tail(b"")
    if not (length.isascii() and length.isdigit() and int(length[:20]) <= len(body)):
        raise InputError(f"Inference-Header-Content-Length: {length[:20]!r}, and the body has {len(body)} bytes")
    return read_body(body[: int(length)]), Tail(body[int(length) :])


def rows_of(tensor: Mapping[str, Any], where: str, tail: Tail, as_text: bool) -> list[Any]:
    """The rows of a tensor, nested by its shape. BYTES from behind the JSON are bytes, or text where that is wanted.

    Raises:
        InputError: names what is wrong.
    """
    shape, kind = tensor.get("shape"), tensor.get("datatype")
    if kind != "BYTES" and kind not in NUMBERS:
        raise InputError(f"{where}.datatype: expected BYTES, FP32 or the like, found {str(kind)[:40]!r}")
    if not isinstance(shape, list) or not shape or not all(type(size) is int and size > 0 for size in shape):
        raise InputError(f"{where}.shape: expected whole numbers above 0, the first one rows")
    parameters = tensor.get("parameters")
    if isinstance(parameters, dict) and "binary_data_size" in parameters:
        data = tail.take(parameters["binary_data_size"], where)
        flat = _elements(data, where, as_text) if kind == "BYTES" else _numbers(data, NUMBERS[kind], where)
    else:
        flat = _from_json(tensor.get("data"), kind, where)
    wanted = math.prod(shape)
    if len(flat) != wanted:
        raise InputError(f"{where}: {len(flat)} values, but the shape {str(shape)[:80]} has {str(wanted)[:40]}")
    for size in reversed(shape[1:]):
        flat = [flat[start : start + size] for start in range(0, len(flat), size)]
    return flat


def _elements(data: bytes, where: str, as_text: bool) -> list[Any]:
    """Each of them has its length before it, 4 bytes, the lowest first."""
    found: list[Any] = []
    place = 0
    while place < len(data):
        size = int.from_bytes(data[place : place + 4], "little")
        place += 4 + size
        if place > len(data):
            raise InputError(f"{where}: element {len(found)} ends behind the data")
        element = data[place - size : place]
        try:
            found.append(element.decode() if as_text else element)
        except UnicodeDecodeError:
            raise InputError(f"{where}: element {len(found)} is not text as UTF-8") from None
    return found


def _numbers(data: bytes, dtype: str, where: str) -> list[Any]:
    if len(data) % np.dtype(dtype).itemsize:
        raise InputError(f"{where}: {len(data)} bytes are no whole number of values")
    found: list[Any] = np.frombuffer(data, dtype).tolist()
    return found


def _from_json(data: Any, kind: Any, where: str) -> list[Any]:
    if not isinstance(data, list):
        raise InputError(f"{where}.data: expected a list")
    found: list[Any] = []
    waiting = [data]
    while waiting:  # not recursive: what is nested deeply costs no stack
        each = waiting.pop()
        if any(isinstance(value, list) for value in each):
            waiting.extend(value if isinstance(value, list) else [value] for value in reversed(each))
        else:
            found.extend(each)
    if not all(isinstance(value, str) if kind == "BYTES" else type(value) in (int, float) for value in found):
        raise InputError(f"{where}.data: expected {'text' if kind == 'BYTES' else 'numbers'} for {kind}")
    return found


def joined(told: dict[str, Any], outputs: Sequence[tuple[str, list[str], bool]]) -> tuple[bytes, int | None]:
    """The bytes of an answer with outputs (name, texts, whether behind the JSON), and how many are JSON, if not all."""
    described, behind = [], []
    for name, texts, binary in outputs:
        output: dict[str, Any] = {"name": name, "datatype": "BYTES", "shape": [len(texts)]}
        if binary:
            data = b"".join(struct.pack("<I", len(text)) + text for text in (each.encode() for each in texts))
            output["parameters"] = {"binary_data_size": len(data)}
            behind.append(data)
        else:
            output["data"] = texts
        described.append(output)
    head = json.dumps({**told, "outputs": described}).encode()
    return b"".join([head, *behind]), len(head) if behind else None
