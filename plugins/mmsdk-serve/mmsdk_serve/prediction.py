"""The route of predictions: a list of samples as JSON, or one as a form."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse

from mmsdk_serve.bodies import body_of, body_schema
from mmsdk_serve.failures import ERROR, RESPONSES
from mmsdk_serve.inputs import read_form, read_json, sample_schema
from mmsdk_serve.served import Served


def add_prediction(app: FastAPI, served: Served) -> None:
    """The route; its request names the columns, its answer the heads."""
    sample, most = sample_schema(served.columns), served.limits.waiting
    samples = {"type": "array", "items": sample, "minItems": 1, "maxItems": most}
    shares = {"type": "boolean", "description": "Whether to tell what each stream did."}
    schema = {
        "type": "object",
        "properties": {"samples": samples, "shares": shares},
        "required": ["samples"],
        "additionalProperties": False,
    }

    async def predict(request: Request) -> JSONResponse:
        """A result per sample, in order: predictions by head, or what is wrong with that sample."""
        given = await body_of(request)
        if isinstance(given, bytes):
            samples, shares = read_json(given, served.columns, most)
        else:
            samples, shares = read_form(given, served.columns)
        return JSONResponse({"results": await served.answers(samples, shares)})

    app.add_api_route(
        f"/pipelines/{served.name}/predict",
        predict,
        methods=["POST"],
        responses={**RESPONSES, 200: {"content": {"application/json": {"schema": _answer_schema(served)}}}},
        openapi_extra={"requestBody": body_schema(schema, served.columns)},
        operation_id=f"predict_{served.name}",
    )


def _answer_schema(served: Served) -> dict[str, Any]:
    """Results in the order of the samples, each with predictions by head, or with an error."""
    prediction = {
        "type": "object",
        "properties": {
            "value": {"description": "The label, the number, the text, ..."},
            "confidence": {"type": ["number", "null"]},
            "scores": {"type": ["object", "null"], "additionalProperties": {"type": "number"}},
        },
        "required": ["value", "confidence", "scores"],
    }
    streams = {"type": "object", "properties": {each.stream: {"type": "number"} for each in served.columns.values()}}
    told = {
        "type": "object",
        "properties": {
            "predictions": {"type": "object", "properties": dict.fromkeys(served.heads, prediction)},
            "shares": {"type": "object", "properties": dict.fromkeys(served.heads, streams)},
        },
        "required": ["predictions"],
    }
    results = {"type": "array", "items": {"oneOf": [told, ERROR]}}
    return {"type": "object", "properties": {"results": results}, "required": ["results"]}
