"""The Open Inference Protocol, version 2, over HTTP: a tensor per column, a tensor per head, rows as samples."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import Response

from mmsdk_serve.failures import RESPONSES
from mmsdk_serve.guard import failure
from mmsdk_serve.inputs import Column, InputError, read_sample
from mmsdk_serve.served import Served
from mmsdk_serve.tensors import NUMBERS, Tail, joined, rows_of, split

LENGTH = "Inference-Header-Content-Length"
"""Of the JSON, where tensors come behind it."""


def add_protocol(app: FastAPI, served: Sequence[Served]) -> None:
    """The protocol's routes. An absent stream is an input that is left out."""
    known: dict[str, Any] = {"responses": {401: RESPONSES[401]}}

    @app.get("/v2", **known)
    async def server() -> dict[str, Any]:
        return {"name": "mmsdk-serve", "version": version("mmsdk-serve"), "extensions": ["binary_tensor_data"]}

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
        "inputs": [_described(column, served) for column in served.columns.values()],
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

    async def infer(request: Request) -> Response:
        """Values of the heads as JSON texts; a sample that cannot be read fails the request, and is named."""
        given, tail = split(await request.body(), request.headers.get(LENGTH))
        if not isinstance(given, dict):
            raise InputError('expected {"inputs": [{"name": ..., "datatype": ..., "shape": [...], "data": [...]}]}')
        wanted = _outputs(given, served.heads)
        results = await served.answers(samples_of(given.get("inputs"), served, tail), shares=False)
        for place, result in enumerate(results):
            if "error" in result:
                return failure(422, f"sample {place}: {result['error']}")
        outputs = [
            (head, [json.dumps(result["predictions"].get(head), ensure_ascii=False) for result in results], binary)
            for head, binary in wanted.items()
        ]
        told = {"id": given["id"]} if isinstance(given.get("id"), str) else {}
        content, length = joined({"model_name": name, **told}, outputs)
        if length is None:
            return Response(content, media_type="application/json")
        return Response(content, media_type="application/octet-stream", headers={LENGTH: str(length)})

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


def _described(column: Column, served: Served) -> dict[str, Any]:
    """Of a sequence [rows, steps, width]; of all others a value per row."""
    if column.kind == "sequence":
        width = served.pipeline.modalities.streams[column.stream].format.width
        return {"name": column.name, "datatype": "FP32", "shape": [-1, -1, width]}
    return {"name": column.name, "datatype": "BYTES", "shape": [-1]}


def samples_of(inputs: Any, served: Served, tail: Tail) -> list[dict[str, Any]]:
    """The rows of all inputs as samples. BYTES are text, or a file: in base64, or as it is behind the JSON.

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
        name = tensor["name"]
        if name in columns:
            raise InputError(f"{where}: '{name[:80]}' is there twice")
        columns[name] = rows_of(
            tensor, where, tail, as_text=name not in served.columns or not served.columns[name].binary
        )
    counts = {name: len(rows) for name, rows in columns.items()}
    if len(set(counts.values())) != 1:
        raise InputError(f"inputs have different numbers of rows: {str(counts)[:200]}")
    (count,) = set(counts.values())
    if count > served.limits.waiting:
        raise InputError(f"{count} rows at once, and the limit is {served.limits.waiting}: send them in parts")
    rows = [{name: column[row] for name, column in columns.items()} for row in range(count)]
    return [read_sample(row, served.columns, f"row {place}") for place, row in enumerate(rows)]


def _outputs(given: Mapping[str, Any], heads: Sequence[str]) -> dict[str, bool]:
    """The heads that are asked for, by default all, and whether their values come behind the JSON.

    Raises:
        InputError: no such head.
    """
    asked = given.get("outputs")
    if asked is None:
        return dict.fromkeys(heads, _parameter(given, "binary_data_output"))
    if not isinstance(asked, list) or not all(isinstance(each, dict) for each in asked):
        raise InputError("outputs: expected a list of objects with name")
    for place, each in enumerate(asked):
        if each.get("name") not in heads:
            name = str(each.get("name"))[:80]
            raise InputError(f"outputs[{place}].name: expected {' or '.join(map(repr, heads))}, found {name!r}")
    return {each["name"]: _parameter(each, "binary_data") for each in asked}


def _parameter(holder: Mapping[str, Any], name: str) -> bool:
    parameters = holder.get("parameters")
    return isinstance(parameters, dict) and parameters.get(name) is True
