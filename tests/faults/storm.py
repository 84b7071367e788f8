"""Clients of a server, polite and others, over plain sockets: cheap enough for hundreds of them beside the server."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

PATH = "/pipelines/shop/predict"


@dataclass
class Storm:
    """What came back. strange: whatever should not have."""

    port: int
    until: float
    answers: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    asked: int = 0

    @property
    def over(self) -> bool:
        return time.monotonic() > self.until

    async def connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    def title(self) -> str:
        self.asked += 1
        return f"w{self.asked} w{random.randrange(10**9)}"

    async def ask(self, count: int = 1, slowly: bool = False) -> None:
        """So many requests one after the other over one connection, before the first answer is read."""
        reader, writer = await self.connected()
        try:
            titles, begun = [self.title() for _ in range(count)], time.monotonic()
            writer.write(b"".join(map(request, titles)))
            await writer.drain()
            if slowly:
                await asyncio.sleep(1)
            for title in titles:
                await self.answer(reader, title, begun)
        finally:
            writer.close()

    async def answer(self, reader: asyncio.StreamReader, title: str, begun: float) -> None:
        status, headers, body = await asyncio.wait_for(response(reader), 25)
        self.answers[str(status)] += 1
        if status == 200:
            self.seconds.append(time.monotonic() - begun)
            told = json.loads(body)["results"]
            if told != [{"error": f"echo {title}"}]:
                self.strange.append(f"'{title}' was answered {told}")
        elif status != 429 or "retry-after" not in headers:
            self.strange.append(f"'{title}': {status} {body[:100]!r}")
        else:
            await asyncio.sleep(random.uniform(0.1, 0.5))

    async def polite(self) -> None:
        while not self.over:
            try:
                await self.ask()
            except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
                self.strange.append(f"no answer: {type(error).__name__}")

    async def rude(self, kind: str) -> None:
        while not self.over:
            with suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                await getattr(self, f"_{kind}")()
            await asyncio.sleep(random.uniform(0, 0.3))

    async def _pipelining(self) -> None:
        await self.ask(3)

    async def _reading_slowly(self) -> None:
        await self.ask(slowly=True)

    async def _leaving(self) -> None:
        """Ask, and go away before the answer."""
        _, writer = await self.connected()
        writer.write(request(self.title()))
        await writer.drain()
        writer.transport.abort()

    async def _half_open(self) -> None:
        _, writer = await self.connected()
        writer.write(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-".encode())
        await writer.drain()
        await asyncio.sleep(2)
        writer.transport.abort()

    async def _writing_slowly(self) -> None:
        _, writer = await self.connected()
        whole = request(self.title())
        for place in range(0, len(whole) - 20, 20):
            writer.write(whole[place : place + 20])
            await writer.drain()
            await asyncio.sleep(0.2)
        writer.transport.abort()

    async def _speaking_otherwise(self) -> None:
        """What is no HTTP, and HTTP that is something else: refused by its status."""
        kinds = {b"\x16\x03\x01\x02\0\1\0": 400, request("x", b"text/plain"): 415, request("x", body=b"{"): 422}
        for sent, wanted in kinds.items():
            reader, writer = await self.connected()
            writer.write(sent + b"\r\n\r\n" * (wanted == 400))
            status, _, _ = await asyncio.wait_for(response(reader), 10)
            if status not in (wanted, 429):  # which may come before it is looked at
                self.strange.append(f"{sent[:40]!r}: {status} instead of {wanted}")
            writer.close()


RUDE = ("pipelining", "reading_slowly", "leaving", "half_open", "writing_slowly", "speaking_otherwise")


def request(title: str, kind: bytes = b"application/json", body: bytes | None = None) -> bytes:
    data = json.dumps({"samples": [{"words": title}]}).encode() if body is None else body
    return b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (
        PATH.encode(),
        kind,
        len(data),
        data,
    )


async def response(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in head[1:] if ": " in line)
    length = headers.get("content-length")
    return int(head[0].split()[1]), headers, await (reader.readexactly(int(length)) if length else reader.read())


async def stormed(port: int, seconds: float, polite: int, rude: int = 0) -> Storm:
    storm = Storm(port, time.monotonic() + seconds)
    clients = [storm.polite() for _ in range(polite)]
    clients += [storm.rude(kind) for kind in RUDE for _ in range(rude)]
    await asyncio.gather(*clients)
    return storm
