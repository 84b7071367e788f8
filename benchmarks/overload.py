"""More requests than a server can answer: what it still answers, and whether each answer comes once and is right."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

CONNECTIONS = 400
"""At most: those that were accepted, and some that are refused just now."""
IDLE = 3.0
"""Seconds that a connection may have been idle."""
Scores = dict[str, float]


class Load(NamedTuple):
    """What came of requests. seconds: from the first one to the last answer. wrong: answers that are another's."""

    asked: int
    served: int
    refused: int
    wrong: int
    seconds: float


class _Connection(asyncio.Protocol):
    """HTTP with keep-alive, as little of it as it takes; an answer that nobody waits for is an error."""

    def __init__(self) -> None:
        self.waiting: asyncio.Future[tuple[int, bytes, bytes]] | None = None
        self.received = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        if self.waiting is not None:
            self.waiting.set_exception(error or ConnectionError("closed before the answer"))

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, end, body = self.received.partition(b"\r\n\r\n")
        if not end:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        if len(body) < length:
            return
        assert self.waiting is not None and len(body) == length, "an answer too many"
        answered, self.waiting, self.received = self.waiting, None, b""
        answered.set_result((int(head[9:12]), head, body))

    async def ask(self, request: bytes) -> tuple[int, bytes, bytes]:
        """Status, headers and body of the answer."""
        self.waiting = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self.waiting


class Client:
    """Asks a server the same few things, each of which has scores of its own."""

    def __init__(self, address: str, samples: Sequence[dict[str, Any]], right: Sequence[Scores]) -> None:
        parts = urlsplit(address)
        self.host, self.port, self.right = parts.hostname, parts.port, right
        bodies = [json.dumps({"samples": [sample]}).encode() for sample in samples]
        self.requests = [
            f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
            for body in bodies
        ]
        self.free: list[tuple[float, _Connection]] = []

    async def saturate(self, clients: int, seconds: float) -> Load:
        """So many clients that each ask anew once they have their answer."""
        found: list[int] = []
        end = time.perf_counter() + seconds

        async def one(place: int) -> None:
            while time.perf_counter() < end:
                found.append(await self._ask(place))
                place += clients

        begin = time.perf_counter()
        await asyncio.gather(*map(one, range(clients)))
        return _load(found, time.perf_counter() - begin)

    async def flood(self, rate: float, seconds: float, before: float = 1.0) -> Load:
        """So many requests a second, whatever comes of them; fewer where the server does not even refuse them in time.

        before: seconds until answers are counted, in which the queue fills.
        """
        tasks: set[asyncio.Task[int]] = set()
        begin, found, skipped, asked = time.perf_counter(), [], 0, 0
        while (now := time.perf_counter() - begin) < before + seconds:
            if now < before:
                skipped = len(found)
            while asked < rate * now and len(tasks) < CONNECTIONS:
                task = asyncio.create_task(self._ask(asked))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                task.add_done_callback(lambda task: found.append(task.result()))
                asked += 1
            await asyncio.sleep(0.001)
        counted = _load(found[skipped:], now - before)
        await asyncio.gather(*tasks)
        whole = _load(found, now)
        assert len(found) == asked
        return counted._replace(asked=asked, wrong=whole.wrong)

    def _free(self) -> _Connection | None:
        """The one that was used last, if the server will not close it just now, as it does with idle ones."""
        if self.free and time.perf_counter() - self.free[-1][0] < IDLE:
            return self.free.pop()[1]
        for _, connection in self.free:
            connection.transport.close()
        self.free.clear()
        return None

    async def _ask(self, place: int) -> int:
        """The status; 0 for another's answer."""
        connection = self._free()
        if connection is None:
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(_Connection, self.host, self.port)
        which = place % len(self.requests)
        status, head, body = await connection.ask(self.requests[which])
        self.free.append((time.perf_counter(), connection))
        if status == 200:
            told = json.loads(body)["results"][0]["predictions"]["kind"]["scores"]
            own = all(abs(told[label] - value) < 1e-5 for label, value in self.right[which].items())
        else:
            own = status == 429 and b"retry-after: " in head.lower()
        return status if own else 0


def _load(found: Sequence[int], seconds: float) -> Load:
    served, refused = found.count(200), found.count(429)
    return Load(len(found), served, refused, len(found) - served - refused, seconds)


async def rounds(client: Client, count: int, seconds: float, clients: int) -> list[tuple[Load, Load]]:
    """So often: what is answered to clients that wait for it, then what is answered at ten times as much."""
    await client.saturate(clients, seconds / 2)
    found = []
    for _ in range(count):
        capacity = await client.saturate(clients, seconds)
        flood = await client.flood(10 * capacity.served / capacity.seconds, seconds)
        found.append((capacity, flood))
    return found
