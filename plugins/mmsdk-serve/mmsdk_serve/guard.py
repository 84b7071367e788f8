"""What stands before every route: the key, the size of a request, how long it may take to come, and what is counted.

Plain ASGI, and the first thing that sees a request: what is refused here costs next to nothing, so that a server that
is asked far more than it can answer spends its time on answers.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mmsdk_serve.batching import Batcher
from mmsdk_serve.limits import Limits

OPEN = ("/", "/health", "/v2/health/live", "/v2/health/ready")
"""What may be seen without a key: the page, which asks for one, and whether the server is there."""
OTHERS = "without a key only this machine is answered: ask at 127.0.0.1, or start the server with --api-key-file FILE"


class RefusedError(Exception):
    """The rest of the body is not read: it is too large, or too slow."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status

    def answer(self) -> JSONResponse:
        """The connection is closed: what of the body is still to come is not waited for."""
        return failure(self.status, str(self), Connection="close")


class Door:
    """What is let in. key: None where everybody may ask. queues: what the paths wait for that can be full."""

    def __init__(self, key: str | None, queues: Mapping[str, Batcher[Any, Any]], registry: CollectorRegistry) -> None:
        self.key, self.queues = key, queues
        self.closed = False
        self.inside = 0
        """Requests that are under way."""
        self.requests = Counter("mmsdk_requests", "Answered requests.", ["path", "status"], registry=registry)

    def knows(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Whether the key is there, if one is wanted."""
        if self.key is None:
            return True
        given = dict(headers).get(b"authorization", b"")
        return hmac.compare_digest(given, b"Bearer " + self.key.encode())

    def full(self, path: str) -> bool:
        """Whether what the path waits for takes nothing more."""
        return path in self.queues and self.queues[path].full

    def turns_away(self, url: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Whether the answer is `FULL` and nothing else; it is counted then."""
        path = url.partition(b"?")[0].decode("latin-1")
        if self.closed or not self.full(path) or not self.knows(headers):
            return False
        self.requests.labels(path, "429").inc()
        return True


class Guard:
    """An ASGI middleware. hosts: names that requests may be addressed to; None: any.

    With hosts, a page of another site, which a browser on this machine shows, cannot ask: neither as itself, nor under
    a name of its own that leads here.
    """

    def __init__(
        self, app: ASGIApp, hosts: Collection[str] | None, limits: Limits, door: Door, registry: CollectorRegistry
    ) -> None:
        self.app, self.hosts, self.limits, self.door = app, hosts, limits, door
        self.seconds = Histogram("mmsdk_request_seconds", "Until a request is answered.", ["path"], registry=registry)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begin, status = time.perf_counter(), 499  # nginx's number for a client that went

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self.door.inside += 1
        try:
            refusal = self._refusal(scope)
            if refusal is None:
                await self._read(scope, receive, counted)
            else:
                await refusal(scope, receive, counted)
        finally:
            self.door.inside -= 1
            path = getattr(scope.get("route"), "path", scope["path"] if scope["path"] in self.door.queues else "other")
            self.door.requests.labels(path, str(status)).inc()
            self.seconds.labels(path).observe(time.perf_counter() - begin)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        """What can be told before the body is there."""
        headers = dict(scope["headers"])
        if scope["path"] not in OPEN and not self.door.knows(scope["headers"]):
            return failure(401, "a key is wanted: Authorization: Bearer KEY")
        if self.hosts is not None and not self._is_own(headers):
            return failure(403, OTHERS)
        if self.door.closed:
            return failure(503, "the server is about to stop", Retry_After="5", Connection="close")
        if self.door.full(scope["path"]):
            return FULL
        told = headers.get(b"content-length", b"0")
        if not told.isdigit() or len(told) > 18 or int(told) > self.limits.body:
            return too_large(self.limits).answer()
        return None

    def _is_own(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether a request is addressed to this server, and comes from its own page if it comes from any."""
        addressed = headers.get(b"host", b"").decode("latin-1")
        origin = headers.get(b"origin")
        asked = [addressed] if origin is None else [addressed, origin.decode("latin-1").partition("://")[2]]
        return self.hosts is not None and all(_without_port(each) in self.hosts for each in asked)

    async def _read(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application, while the body is watched."""
        body = Body(receive, self.limits, b"json" in dict(scope["headers"]).get(b"content-type", b"").lower())
        began = False

        async def noted(message: Message) -> None:
            nonlocal began
            began = True
            await send(message)

        try:
            await self.app(scope, body, noted)
        except ClientDisconnect:  # before the body was there: nobody waits for an answer
            return
        except RefusedError as error:
            if began:
                raise
            await error.answer()(scope, receive, send)


class Body:
    """The body of a request, as the application receives it: measured while it comes in, before anything is made of it.

    A value of JSON takes up to thirty times the bytes that it is written with, so that values are counted, too.
    """

    def __init__(self, receive: Receive, limits: Limits, json: bool) -> None:
        self.receive, self.limits, self.json = receive, limits, json
        self.read = self.values = 0
        self.whole = False
        self.until = time.monotonic() + limits.reading

    async def __call__(self) -> Message:
        if self.whole:  # from now on it is waited for the client to go away
            return await self.receive()
        try:
            async with asyncio.timeout(self.until - time.monotonic()):
                message = await self.receive()
        except TimeoutError:
            raise RefusedError(408, f"the body was not there within {self.limits.reading:g} s") from None
        part = message.get("body", b"")
        self.whole = not message.get("more_body", False)
        self.read += len(part)
        self.values += sum(part.count(mark) for mark in b",[{") if self.json else 0
        if self.read > self.limits.body:
            raise too_large(self.limits)
        if self.values > self.limits.values:
            raise RefusedError(413, f"the request holds more than {self.limits.values:,} values: send it in parts")
        return message


def too_large(limits: Limits) -> RefusedError:
    return RefusedError(413, f"the request is larger than {limits.body:,} bytes")


def _without_port(address: str) -> str:
    """`localhost:8000` -> `localhost`, `[::1]:8000` -> `[::1]`"""
    name, _, port = address.rpartition(":")
    return (name if name and port.isdigit() else address).lower()


def failure(status: int, message: str, **headers: str) -> JSONResponse:
    """An error as JSON."""
    content: dict[str, Any] = {"error": message}
    return JSONResponse(content, status, headers={name.replace("_", "-"): value for name, value in headers.items()})


FULL = failure(429, "too many samples wait already", Retry_After="1")
"""Made once: it is told most where there is least time."""
