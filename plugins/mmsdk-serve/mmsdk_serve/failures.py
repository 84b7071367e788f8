"""What is answered where a request fails: statuses, what they mean, and how OpenAPI tells of them."""

from __future__ import annotations

import json
import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse

from mmsdk_serve.batching import ClosedError, FullError, LateError
from mmsdk_serve.bodies import KindError
from mmsdk_serve.guard import RefusedError, failure
from mmsdk_serve.inputs import InputError
from mmsdk_serve.limits import Limits

log = logging.getLogger("mmsdk.serve")
ERROR = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
REASONS = {
    401: "No key, or another one.",
    403: "Addressed to another host, or asked for by the page of another site.",
    408: "The body did not come in time.",
    413: "The body is too large, or holds too many values.",
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


def handle_failures(app: FastAPI, limits: Limits, pipelines: Collection[str]) -> None:
    """Each failure as JSON, `{"error": ...}`; none of ours with more than a number. pipelines: that are served."""

    def told(status: int, message: str, **headers: str) -> Callable[..., Awaitable[JSONResponse]]:
        async def handler(_: Request, error: Exception) -> JSONResponse:
            return failure(status, message or str(error), **headers)

        return handler

    app.add_exception_handler(InputError, told(422, ""))
    app.add_exception_handler(KindError, told(415, ""))
    app.add_exception_handler(FullError, told(429, "too many samples wait already", Retry_After="1"))
    app.add_exception_handler(ClosedError, told(503, "the server is about to stop", Retry_After="5"))
    app.add_exception_handler(ClientDisconnect, told(400, "the client has gone away"))  # nobody reads that
    late = told(504, f"there was no answer within {limits.deadline:g} s")
    app.add_exception_handler(LateError, late)
    app.add_exception_handler(TimeoutError, late)

    async def http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        message, named = str(error.detail), re.match(r"/(?:pipelines|v2/models)/([^/]+)", request.url.path)
        if error.status_code == 404 and named is not None and named[1] not in pipelines:
            message = f"There is no pipeline of this name here. Served are: {', '.join(pipelines)}"
        return failure(error.status_code, message, **dict(error.headers or {}))

    app.add_exception_handler(HTTPException, http)

    async def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        return failure(422, f"{first['loc'][-1]}: {first['msg']}")

    app.add_exception_handler(RequestValidationError, invalid)

    async def unexpected(_: Request, error: Exception) -> JSONResponse:
        if isinstance(error, RefusedError):
            raise error  # the guard's own
        number = secrets.token_hex(4)
        log.error("%s", json.dumps({"id": number, "error": f"{type(error).__name__}: {error}"}), exc_info=error)
        return failure(500, f"something failed here; the server's log has it under {number}")

    app.add_exception_handler(Exception, unexpected)
