"""The application: pipelines by name, health, metrics, the page, and the routes of the Open Inference Protocol."""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, Response

from mmsdk import ConfigError, Pipeline
from mmsdk_serve.batching import ClosedError, FullError, LateError
from mmsdk_serve.guard import Guard, TooLargeError, failure
from mmsdk_serve.inputs import InputError, read_form, read_json, sample_schema
from mmsdk_serve.limits import Limits
from mmsdk_serve.protocol import add_protocol
from mmsdk_serve.served import Served

log = logging.getLogger("mmsdk.serve")
PAGE = Path(__file__).with_name("page.html")
ERROR = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
REASONS = {
    401: "No key, or another one.",
    413: "The body is too large.",
    415: "Neither JSON nor a form.",
    422: "Something is wrong with the request.",
    429: "Too many wait already: try again later.",
    503: "The server is about to stop.",
    504: "There was no answer in time.",
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"description": reason, "content": {"application/json": {"schema": ERROR}}}
    for status, reason in REASONS.items()
}


def application(pipelines: Mapping[str, Pipeline], limits: Limits | None = None, *, key: str | None = None) -> FastAPI:
    """The ASGI application that serves pipelines by name. key: what clients have to send as a bearer token.

    Raises:
        ConfigError: a pipeline that cannot be served: none of its heads predicts, or it reads whole groups of rows.
    """
    limits = limits or Limits()
    served = {name: Served(name, _servable(name, pipeline), limits) for name, pipeline in pipelines.items()}

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        for each in served.values():
            each.batcher.close(limits.deadline)

    app = FastAPI(title="mmsdk", lifespan=lifespan, docs_url=None, redoc_url=None)
    registry = CollectorRegistry()
    sizes = Histogram(
        "mmsdk_batch_size", "Samples answered together.", ["pipeline"], registry=registry, buckets=[1, 2, 4, 8, 16, 32]
    )
    waiting = Gauge("mmsdk_waiting", "Samples that wait.", ["pipeline"], registry=registry)
    for name, each in served.items():
        each.batcher.seen = sizes.labels(name).observe
        waiting.labels(name).set_function(partial(len, each.batcher))
        _add_pipeline(app, each)
    add_protocol(app, served, RESPONSES)

    @app.get("/health")
    async def health() -> dict[str, str]:
        """Whether the server is there."""
        return {"status": "ok"}

    @app.get("/metrics", responses={401: RESPONSES[401]}, response_class=Response)
    async def metrics() -> Response:
        """Figures for Prometheus."""
        return Response(generate_latest(registry), media_type="text/plain; version=0.0.4")

    @app.get("/pipelines", responses={401: RESPONSES[401]})
    async def names() -> list[dict[str, Any]]:
        """The pipelines with their columns and heads."""
        return [each.about() for each in served.values()]

    @app.get("/", include_in_schema=False)
    async def page() -> HTMLResponse:
        nonce = secrets.token_urlsafe(16)
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
            "img-src data: blob:; media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        headers = {"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff"}
        return HTMLResponse(PAGE.read_text(encoding="utf-8").replace("{{nonce}}", nonce), headers=headers)

    _handle_errors(app, limits)
    app.add_middleware(Guard, key=key, body=limits.body, registry=registry)
    return app


def _servable(name: str, pipeline: Pipeline) -> Pipeline:
    if pipeline.config.group_by is not None:
        raise ConfigError(f"'{name}' reads groups of rows (group_by): it cannot be served; use `mmsdk predict`")
    if not any(head.predicts for head in pipeline.config.heads.values()):
        raise ConfigError(f"'{name}' has no head that makes predictions")
    return pipeline


def _add_pipeline(app: FastAPI, served: Served) -> None:
    sample = sample_schema(served.columns)
    fields = {
        name: {"type": "string", "format": "binary"} if column.binary else {"type": "string"}
        for name, column in served.columns.items()
    }
    body = {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "samples": {
                            "type": "array",
                            "items": sample,
                            "minItems": 1,
                            "maxItems": served.limits.waiting,
                        },
                        "shares": {"type": "boolean", "description": "Whether to tell what each stream did."},
                    },
                    "required": ["samples"],
                    "additionalProperties": False,
                }
            },
            "multipart/form-data": {"schema": {"type": "object", "properties": fields}},
        },
    }

    async def predict(request: Request) -> JSONResponse:
        """A result per sample, in order: predictions by head, or what is wrong with that sample."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "application/json":
            samples, shares = read_json(await request.body(), served.columns, served.limits.waiting)
        elif kind == "multipart/form-data":
            samples, shares = read_form(await _fields(request), served.columns)
        else:
            return failure(415, f"expected application/json or multipart/form-data, found {kind[:80]!r}")
        return JSONResponse({"results": await served.answers(samples, shares)})

    app.add_api_route(
        f"/pipelines/{served.name}/predict",
        predict,
        methods=["POST"],
        responses=RESPONSES,
        openapi_extra={"requestBody": body},
        operation_id=f"predict_{served.name}",
    )


async def _fields(request: Request) -> list[tuple[str, str | bytes]]:
    try:
        async with request.form(max_files=32, max_fields=64, max_part_size=1_000_000) as form:
            parts = form.multi_items()
            return [(name, await part.read() if isinstance(part, UploadFile) else part) for name, part in parts]
    except HTTPException as error:
        raise InputError(f"the form cannot be read: {error.detail}") from None


def _handle_errors(app: FastAPI, limits: Limits) -> None:
    def told(status: int, message: str, **headers: str) -> Callable[..., Awaitable[JSONResponse]]:
        async def handler(_: Request, error: Exception) -> JSONResponse:
            return failure(status, message or str(error), **headers)

        return handler

    app.add_exception_handler(InputError, told(422, ""))
    app.add_exception_handler(FullError, told(429, "too many samples wait already", Retry_After="1"))
    app.add_exception_handler(ClosedError, told(503, "the server is about to stop", Retry_After="5"))
    late = told(504, f"there was no answer within {limits.deadline:g} s")
    app.add_exception_handler(LateError, late)
    app.add_exception_handler(TimeoutError, late)

    async def http(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return failure(error.status_code, str(error.detail), **dict(error.headers or {}))

    app.add_exception_handler(HTTPException, http)

    async def unexpected(_: Request, error: Exception) -> JSONResponse:
        if isinstance(error, TooLargeError):
            raise error  # the guard's own
        number = secrets.token_hex(4)
        log.error("%s", json.dumps({"id": number, "error": f"{type(error).__name__}: {error}"}), exc_info=error)
        return failure(500, f"something failed here; the server's log has it under {number}")

    app.add_exception_handler(Exception, unexpected)
