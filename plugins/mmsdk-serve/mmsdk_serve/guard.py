"""What stands before every route: the key, the size of a request, and what is counted. Plain ASGI."""

from __future__ import annotations

import hmac
import time
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

OPEN = ("/", "/health", "/v2/health/live", "/v2/health/ready")
"""What may be seen without a key: the page, which asks for one, and whether the server is there."""


class TooLargeError(Exception):
    """The body is larger than the limit."""


class Guard:
    """An ASGI middleware. key: None where everybody may ask. body: bytes that a request may have."""

    def __init__(self, app: ASGIApp, key: str | None, body: int, registry: CollectorRegistry) -> None:
        self.app, self.key, self.body = app, key, body
        self.requests = Counter("mmsdk_requests", "Answered requests.", ["path", "status"], registry=registry)
        self.seconds = Histogram("mmsdk_request_seconds", "Until a request is answered.", ["path"], registry=registry)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begin, status = time.perf_counter(), 500

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._guarded(scope, receive, counted)
        finally:
            path = getattr(scope.get("route"), "path", "other")
            self.requests.labels(path, str(status)).inc()
            self.seconds.labels(path).observe(time.perf_counter() - begin)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        if self.key is not None and scope["path"] not in OPEN:
            given = headers.get(b"authorization", b"")
            if not hmac.compare_digest(given, b"Bearer " + self.key.encode()):
                answer = failure(401, "a key is wanted: Authorization: Bearer KEY")
                await answer(scope, receive, send)
                return
        told = headers.get(b"content-length", b"0")
        if not told.isdigit() or int(told) > self.body:
            await self._too_large()(scope, receive, send)
            return
        read, began = 0, False

        async def measured() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self.body:
                raise TooLargeError
            return message

        async def noted(message: Message) -> None:
            nonlocal began
            began = True
            await send(message)

        try:
            await self.app(scope, measured, noted)
        except TooLargeError:
            if began:
                raise
            await self._too_large()(scope, receive, send)

    def _too_large(self) -> JSONResponse:
        return failure(413, f"the request is larger than {self.body:,} bytes")


def failure(status: int, message: str, **headers: str) -> JSONResponse:
    """An error as JSON."""
    content: dict[str, Any] = {"error": message}
    return JSONResponse(content, status, headers={name.replace("_", "-"): value for name, value in headers.items()})
