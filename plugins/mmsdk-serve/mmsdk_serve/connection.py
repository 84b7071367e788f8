"""A connection that costs little: slow clients are left, and what a full queue refuses goes no further than here."""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from mmsdk_serve.guard import FULL, Door

REFUSED = b"HTTP/1.1 429 Too Many Requests\r\n%b\r\n%b" % (
    b"".join(b"%b: %b\r\n" % header for header in FULL.raw_headers),
    bytes(FULL.body),
)
"""`FULL` as bytes."""


class Connection(HttpToolsProtocol):
    """uvicorn's, which watches connections between two requests alone. The time is that of `timeout_keep_alive`.

    The application would refuse what is full, too, but a request that gets there has cost several times as much: under
    overload, that is time which answers do not get.
    """

    _patience: asyncio.TimerHandle | None = None
    _refused = False

    def __init__(self, config: uvicorn.Config, *args: Any, **options: Any) -> None:
        super().__init__(config, *args, **options)
        self.door: Door = config.app.state.door  # type: ignore[union-attr]

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._refused = False
        self._stop()
        self._wait()

    def on_headers_complete(self) -> None:
        self._stop()
        alone = self.cycle is None or self.cycle.response_complete  # the answers to pipelined requests keep their order
        if alone and self.parser.should_keep_alive() and self.door.turns_away(self.url, self.headers):
            self._refused = True
            self.transport.write(REFUSED)
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._refused:
            super().on_message_complete()
        else:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._patience is None:
            self._patience = self.loop.call_later(self.timeout_keep_alive, self.transport.close)

    def _stop(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
