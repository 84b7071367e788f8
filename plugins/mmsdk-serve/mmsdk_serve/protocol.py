"""The Open Inference Protocol, version 2, over HTTP: a tensor per column, a tensor per head, rows as samples."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse

from mmsdk_serve.failures import RESPONSES
from mmsdk_serve.guard import failure
from mmsdk_serve.inputs import InputError, read_sample
from mmsdk_serve.served import Served

NUMBERS = {"FP16", "FP32", "FP64", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"}


def add_protocol(app: FastAPI, served: Sequence[Served]) -> None:
    """The protocol's routes. An absent stream is an input that is left out."""
    known: dict[str, Any] = {"responses": {401: RESPONSES[401]}}

    @app.get("/v2", **known)
    async def server() -> dict[str, Any]:
        return {"name": "mmsdk-serve", "version": version("mmsdk-serve"), "extensions": []}

    @app.get("/v2/health/live")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @app.get("/v2/health/ready")
    async def ready() -> dict[str, bool]:
        return {"ready": True}

    for each in served:
        _add_model(app, each)


def _add_model(app: FastAPI, served: Served) -> None:
    name = served.name
    described = {
        "name": name,
        "platform": "mmsdk",
        "inputs": [
            {"name": column.name, "datatype": "FP32" if column.kind == "sequence" else "BYTES", "shape": [-1]}
            for column in served.columns.values()
        ],
        "outputs": [{"name": head, "datatype": "BYTES", "shape": [-1]} for head in served.heads],
    }
    tensor = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "enum": list(served.columns)},
            "datatype": {"type": "string", "enum": ["BYTES", *sorted(NUMBERS)]},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1},
            "data": {"type": "array"},
        },
        "required": ["name", "datatype", "shape", "data"],
    }
    body = {
        "type": "object",
        "properties": {"id": {"type": "string"}, "inputs": {"type": "array", "items": tensor, "minItems": 1}},
        "required": ["inputs"],
    }

    async def model() -> dict[str, Any]:
        return described

    async def ready() -> dict[str, Any]:
        return {"name": name, "ready": True}

    async def infer(request: Request) -> JSONResponse:
        """Values of the heads as JSON texts; a sample that cannot be read fails the request, and is named."""
        given = _body(await request.body())
        samples = samples_of(given["inputs"], served)
        results = await served.answers(samples, shares=False)
        for place, result in enumerate(results):
            if "error" in result:
                return failure(422, f"sample {place}: {result['error']}")
        heads = dict.fromkeys(head for result in results for head in result["predictions"])
        outputs = [
            {
                "name": head,
                "datatype": "BYTES",
                "shape": [len(results)],
                "data": [json.dumps(result["predictions"].get(head), ensure_ascii=False) for result in results],
            }
            for head in heads
        ]
        told = {"id": given["id"]} if isinstance(given.get("id"), str) else {}
        return JSONResponse({"model_name": name, **told, "outputs": outputs})

    address = f"/v2/models/{name}"
    app.add_api_route(address, model, responses={401: RESPONSES[401]}, operation_id=f"model_{name}")
    app.add_api_route(f"{address}/ready", ready, responses={401: RESPONSES[401]}, operation_id=f"ready_{name}")
    app.add_api_route(
        f"{address}/infer",
        infer,
        methods=["POST"],
        responses=RESPONSES,
        operation_id=f"infer_{name}",
        openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": body}}}},
    )


def samples_of(inputs: Any, served: Served) -> list[dict[str, Any]]:
    """The rows of all inputs as samples. BYTES are text, or a file in base64; numbers have a shape [rows, ...].

    Raises:
        InputError: names the input.
    """
    if not isinstance(inputs, list) or not inputs:
        raise InputError("inputs: expected a list of at least one tensor")
    columns: dict[str, list[Any]] = {}
    for place, tensor in enumerate(inputs):
        where = f"inputs[{place}]"
        if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
            raise InputError(f"{where}: expected an object with name, datatype, shape and data")
        if tensor["name"] in columns:
            raise InputError(f"{where}: '{tensor['name'][:80]}' is there twice")
        columns[tensor["name"]] = _rows(tensor, where)
    counts = {name: len(rows) for name, rows in columns.items()}
    if len(set(counts.values())) != 1:
        raise InputError(f"inputs have different numbers of rows: {str(counts)[:200]}")
    (count,) = set(counts.values())
    if count > served.limits.waiting:
        raise InputError(f"{count} rows at once, and the limit is {served.limits.waiting}: send them in parts")
    rows = [{name: column[row] for name, column in columns.items()} for row in range(count)]
    return [read_sample(row, served.columns, f"row {place}") for place, row in enumerate(rows)]


def _rows(tensor: Mapping[str, Any], where: str) -> list[Any]:
    shape, data, kind = tensor.get("shape"), tensor.get("data"), tensor.get("datatype")
    if kind != "BYTES" and kind not in NUMBERS:
        raise InputError(f"{where}.datatype: expected BYTES, FP32 or the like, found {str(kind)[:40]!r}")
    if not isinstance(shape, list) or not shape or not all(type(size) is int and size > 0 for size in shape):
        raise InputError(f"{where}.shape: expected whole numbers above 0, the first one rows")
    if not isinstance(data, list):
        raise InputError(f"{where}.data: expected a list")
    flat, wanted = _flat(data), 1
    for size in shape:
        wanted *= size
    if len(flat) != wanted:
        raise InputError(f"{where}: {len(flat)} values, but the shape {str(shape)[:80]} has {wanted}")
    if not all(isinstance(value, str) if kind == "BYTES" else type(value) in (int, float) for value in flat):
        raise InputError(f"{where}.data: expected {'text' if kind == 'BYTES' else 'numbers'} for {kind}")
    return _nested(flat, shape)


def _flat(data: list[Any]) -> list[Any]:
    found: list[Any] = []
    waiting = [data]
    while waiting:
        each = waiting.pop()
        if any(isinstance(value, list) for value in each):
            waiting.extend(value if isinstance(value, list) else [value] for value in reversed(each))
        else:
            found.extend(each)
    return found


def _nested(flat: list[Any], shape: list[int]) -> list[Any]:
    for size in reversed(shape[1:]):
        flat = [flat[start : start + size] for start in range(0, len(flat), size)]
    return flat


def _body(body: bytes) -> dict[str, Any]:
    try:
        given = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the body is not JSON: {str(error)[:200]}") from None
    if not isinstance(given, dict) or "inputs" not in given:
        raise InputError('expected {"inputs": [{"name": ..., "datatype": ..., "shape": [...], "data": [...]}]}')
    return given
