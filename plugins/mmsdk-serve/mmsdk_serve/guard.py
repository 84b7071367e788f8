"""What stands before every route: the key, the size of a request, and what is counted. Plain ASGI."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Collection, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mmsdk_serve.limits import Limits

OPEN = ("/", "/health", "/v2/health/live", "/v2/health/ready")
"""What may be seen without a key: the page, which asks for one, and whether the server is there."""
OTHERS = "without a key only this machine is answered: ask at 127.0.0.1, or start the server with --api-key-file FILE"


class RefusedError(Exception):
    """The rest of the body is not read: it is too large, or too slow."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Guard:
    """An ASGI middleware. key: None where everybody may ask. hosts: names that requests may be addressed to; None: any.

    With hosts, a page of another site, which a browser on this machine shows, cannot ask: neither as itself, nor under
    a name of its own that leads here.
    """

    def __init__(
        self, app: ASGIApp, key: str | None, hosts: Collection[str] | None, limits: Limits, registry: CollectorRegistry
    ) -> None:
        self.app, self.key, self.hosts, self.limits = app, key, hosts, limits
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
        if self.hosts is not None and not self._is_own(headers):
            await failure(403, OTHERS)(scope, receive, send)
            return
        body = Body(receive, self.limits, b"json" in headers.get(b"content-type", b"").lower())
        told, began = headers.get(b"content-length", b"0"), False
        if not told.isdigit() or len(told) > 18 or int(told) > self.limits.body:
            refused = body.too_large()
            await failure(refused.status, str(refused))(scope, receive, send)
            return

        async def noted(message: Message) -> None:
            nonlocal began
            began = True
            await send(message)

        try:
            await self.app(scope, body, noted)
        except RefusedError as error:
            if began:
                raise
            await failure(error.status, str(error))(scope, receive, send)

    def _is_own(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether a request is addressed to this server, and comes from its own page if it comes from any."""
        addressed = headers.get(b"host", b"").decode("latin-1")
        origin = headers.get(b"origin")
        asked = [addressed] if origin is None else [addressed, origin.decode("latin-1").partition("://")[2]]
        return self.hosts is not None and all(_without_port(each) in self.hosts for each in asked)


class Body:
    """The body of a request, as the application receives it: measured while it comes in, before anything is made of it.

    A value of JSON takes up to thirty times the bytes that it is written with, so that values are counted, too.
    """

    def __init__(self, receive: Receive, limits: Limits, json: bool) -> None:
        self.receive, self.limits, self.json = receive, limits, json
        self.read = self.values = 0
        self.whole = False
        self.until = time.monotonic() + limits.deadline

    async def __call__(self) -> Message:
        if self.whole:  # from now on it is waited for the client to go away
            return await self.receive()
        try:
            async with asyncio.timeout(self.until - time.monotonic()):
                message = await self.receive()
        except TimeoutError:
            raise RefusedError(408, f"the request did not arrive within {self.limits.deadline:g} s") from None
        part = message.get("body", b"")
        self.whole = not message.get("more_body", False)
        self.read += len(part)
        self.values += sum(part.count(mark) for mark in b",[{") if self.json else 0
        if self.read > self.limits.body:
            raise self.too_large()
        if self.values > self.limits.values:
            raise RefusedError(413, f"the request holds more than {self.limits.values:,} values: send it in parts")
        return message

    def too_large(self) -> RefusedError:
        return RefusedError(413, f"the request is larger than {self.limits.body:,} bytes")


def _without_port(address: str) -> str:
    """`localhost:8000` -> `localhost`, `[::1]:8000` -> `[::1]`"""
    name, _, port = address.rpartition(":")
    return (name if name and port.isdigit() else address).lower()


def failure(status: int, message: str, **headers: str) -> JSONResponse:
    """An error as JSON."""
    content: dict[str, Any] = {"error": message}
    return JSONResponse(content, status, headers={name.replace("_", "-"): value for name, value in headers.items()})
