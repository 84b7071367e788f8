"""What a client may send: the columns of a pipeline's streams. Files come as bytes; no path or address is opened."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mmsdk import Pipeline


class InputError(Exception):
    """What is wrong with a request, for who sent it."""


class Column(NamedTuple):
    """A column that a stream reads. kind: of the stream. binary: whether text is the bytes of a file, in base64."""

    name: str
    stream: str
    kind: str
    binary: bool

    @property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of its values."""
        if self.binary:
            about = f"Stream '{self.stream}' ({self.kind}): the bytes of a file in base64, or numbers."
            return {"type": ["string", "array", "object", "null"], "description": about}
        types = {"tokens": ["string", "null"], "table": ["number", "string", "null"]}
        known = types.get(self.kind, ["string", "number", "array", "object", "null"])
        return {"type": known, "description": f"Stream '{self.stream}' ({self.kind})."}


def columns_of(pipeline: Pipeline) -> dict[str, Column]:
    """The columns of all streams, by name."""
    found = {}
    for stream in pipeline.config.streams:
        modality, named = pipeline.modalities.streams[stream], pipeline.config.column_of(stream)
        for name in [named] if isinstance(named, str) else named:
            found[name] = Column(name, stream, modality.format.kind, modality.reads_files)
    return found


def sample_schema(columns: Mapping[str, Column]) -> dict[str, Any]:
    """JSON Schema of a sample: any of the columns, at least one of them."""
    return {
        "type": "object",
        "properties": {name: column.schema for name, column in columns.items()},
        "additionalProperties": False,
        "minProperties": 1,
    }


def read_json(body: bytes, columns: Mapping[str, Column], most: int) -> tuple[list[dict[str, Any]], bool]:
    """The samples of `{"samples": [...], "shares": false}`, and whether shares are asked for.

    Raises:
        InputError: names the place, what is there, and what would be right.
    """
    given = read_body(body)
    if not isinstance(given, dict) or "samples" not in given:
        raise InputError('expected {"samples": [{...}]}')
    if unknown := [name for name in given if name not in ("samples", "shares")]:
        raise InputError(f"unknown field {unknown[0][:80]!r}: there are 'samples' and 'shares'")
    samples, shares = given["samples"], given.get("shares", False)
    if not isinstance(shares, bool):
        raise InputError("shares: expected true or false")
    if not isinstance(samples, list) or not samples:
        raise InputError("samples: expected a list of at least one sample")
    if len(samples) > most:
        raise InputError(f"samples: {len(samples)} at once, and the limit is {most}: send them in parts")
    return [read_sample(sample, columns, f"samples[{place}]") for place, sample in enumerate(samples)], shares


def read_body(body: bytes) -> Any:
    """JSON without NaN and infinities.

    Raises:
        InputError: it is none.
    """
    try:
        return json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the body is not JSON: {str(error)[:200]}") from None


def read_query(given: bytes | list[tuple[str, str | bytes]], columns: Mapping[str, Column]) -> dict[str, Any]:
    """A sample by itself, as JSON or as the fields of a form.

    Raises:
        InputError: as of `read_sample` and `read_form`.
    """
    if isinstance(given, bytes):
        return read_sample(read_body(given), columns, "the query")
    return read_form(given, columns)[0][0]


def read_sample(sample: Any, columns: Mapping[str, Column], place: str) -> dict[str, Any]:
    """A sample as the pipeline takes it.

    Raises:
        InputError: an unknown column, or what is not base64.
    """
    if not isinstance(sample, dict) or not sample:
        raise InputError(f"{place}: expected an object with at least one of: {', '.join(columns)}")
    found = {}
    for name, value in sample.items():
        if name not in columns:
            raise InputError(f"{place}: there is no column {name[:80]!r}; there are: {', '.join(columns)}")
        column = columns[name]
        _require_type(value, column, f"{place}.{name}")
        found[name] = _decoded(value, f"{place}.{name}") if column.binary else value
    return found


def read_form(
    fields: Sequence[tuple[str, str | bytes]], columns: Mapping[str, Column]
) -> tuple[list[dict[str, Any]], bool]:
    """One sample from the fields of a form: files as bytes, everything else as text; empty fields are absent streams.

    Raises:
        InputError: an unknown field, or text where a file is wanted.
    """
    sample: dict[str, Any] = {}
    shares = False
    for name, value in fields:
        if name == "shares":
            shares = value in ("true", "1", b"true", b"1")
            continue
        if name not in columns:
            raise InputError(f"there is no column {name[:80]!r}; there are: {', '.join(columns)}")
        if not value:
            continue
        if columns[name].binary and isinstance(value, str):
            raise InputError(f"{name}: send it as a file; paths and addresses are not opened")
        if not columns[name].binary and isinstance(value, bytes):
            value = _text(value, name)
        sample[name] = value
    if not sample:
        raise InputError(f"every stream is absent: send at least one of: {', '.join(columns)}")
    return [sample], shares


_TYPES = {"string": (str, bytes), "number": (int, float), "array": list, "object": dict, "null": type(None)}
"""Bytes come from binary tensors alone, and there for files alone."""


def _require_type(value: Any, column: Column, place: str) -> None:
    allowed = column.schema["type"]
    if isinstance(value, bool) or not any(isinstance(value, _TYPES[name]) for name in allowed):  # type: ignore[arg-type]
        raise InputError(f"{place}: expected {' or '.join(allowed)}, found {json.dumps(value)[:40]}")


def _decoded(value: Any, place: str) -> Any:
    """Text as the bytes that it stands for, in lists too. Within an object no text is wanted: it could be a path."""
    if isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            raise InputError(f"{place}: not base64; paths and addresses are not opened") from None
    if isinstance(value, list) and any(isinstance(each, str | list | dict) for each in value):
        return [_decoded(each, place) for each in value]
    if isinstance(value, dict) and _holds_text(list(value.values())):
        raise InputError(f"{place}: expected numbers, found text")
    return value


def _holds_text(values: Any) -> bool:
    waiting = [values]
    while waiting:  # not recursive: what is nested deeply costs no stack
        each = waiting.pop()
        if isinstance(each, str):
            return True
        if isinstance(each, list | dict):
            waiting.extend(each if isinstance(each, list) else each.values())
    return False


def _text(value: bytes, name: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise InputError(f"{name}: expected text as UTF-8") from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number of JSON")
