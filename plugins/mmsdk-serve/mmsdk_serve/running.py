"""The server as a process: what was accepted is answered before it ends."""

from __future__ import annotations

import socket
import time
from types import FrameType

import uvicorn
from fastapi import FastAPI

from mmsdk_serve.connection import Connection
from mmsdk_serve.guard import Door
from mmsdk_serve.limits import Limits


class Server(uvicorn.Server):
    """At the first signal new requests are answered with 503; once the others have their answers, the process ends.

    uvicorn by itself stops to listen at once, so that clients are not told why, and ends with the signal's status.
    """

    def __init__(self, config: uvicorn.Config, door: Door, seconds: float) -> None:
        super().__init__(config)
        self.door, self.seconds = door, seconds
        self.ends: float | None = None
        """When it ends at the latest, once there was a signal."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A second signal does not wait for answers."""
        self.should_exit = self.door.closed
        self.door.closed = True
        self.ends = time.monotonic() + self.seconds

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether it is time to end."""
        if self.ends is not None and (not self.door.inside or time.monotonic() > self.ends):
            return True
        return await super().on_tick(counter)


def configured(app: FastAPI, limits: Limits) -> uvicorn.Config:
    """How uvicorn runs the application."""
    return uvicorn.Config(
        app,
        http=Connection,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=max(1, round(limits.reading)),
    )


def serve(app: FastAPI, listening: socket.socket, limits: Limits) -> None:
    """Answer requests until a signal comes."""
    Server(configured(app, limits), app.state.door, limits.deadline + 1).run(sockets=[listening])
