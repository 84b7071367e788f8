"""The body of a request: JSON, or the fields of a form; and how OpenAPI tells of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from mmsdk_serve.inputs import Column, InputError


class KindError(Exception):
    """A body that is neither JSON nor a form."""


async def body_of(request: Request) -> bytes | list[tuple[str, str | bytes]]:
    """JSON as it came, or the names and values of a form.

    Raises:
        KindError. InputError: the form is damaged.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        return await request.body()
    if kind == "multipart/form-data":
        return await _fields(request)
    raise KindError(f"expected application/json or multipart/form-data, found {kind[:80]!r}")


async def _fields(request: Request) -> list[tuple[str, str | bytes]]:
    try:
        async with request.form(max_files=32, max_fields=64, max_part_size=1_000_000) as form:
            parts = form.multi_items()
            return [(name, await part.read() if isinstance(part, UploadFile) else part) for name, part in parts]
    except HTTPException as error:
        raise InputError(f"the form cannot be read: {error.detail}") from None


def body_schema(json_schema: Mapping[str, Any], columns: Mapping[str, Column]) -> dict[str, Any]:
    """The `requestBody` of an operation that takes such JSON, or a form with these columns."""
    fields = {
        name: {"type": "string", "format": "binary"} if column.binary else {"type": "string"}
        for name, column in columns.items()
    }
    return {
        "required": True,
        "content": {
            "application/json": {"schema": json_schema},
            "multipart/form-data": {"schema": {"type": "object", "properties": fields}},
        },
    }
