"""`mmsdk serve` with many clients: in batches against one by one, and asked too much; with one, against `predict`."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import torch

import mmsdk
from benchmarks.measuring import Result, interleaved
from benchmarks.overload import Client, rounds

CLIENTS, OVERHEAD = 16, 0.003
TEXT = "a text of some length about nothing in particular which is the same each time but for its number"


def run(quick: bool) -> list[Result]:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        trained = _trained(Path(folder) / "deep" / "run", layers=2 if quick else 120)
        pipeline, requests, times = trained.pipeline, (32 if quick else 200), (1 if quick else 7)
        with _server(trained.run, 1) as single, _server(trained.run, 32) as batched:
            scores = _scores(pipeline, requests)
            sides = {
                "batched": lambda: _many(batched, requests, scores),
                "single": lambda: _many(single, requests, scores),
            }
            found = interleaved(sides, times)
            sides = {"http": lambda: _one(batched, 20), "predict": lambda: _plain(pipeline, 20)}
            alone = interleaved(sides, times)
        flooded = _overload(_trained(Path(folder) / "wide" / "run", layers=1 if quick else 12, width=256), quick)
    note = f"{1000 * median(alone['predict']):.0f} ms a sample; {CLIENTS} clients; processor time of the server"
    allowed = [seconds + OVERHEAD for seconds in alone["predict"]]
    return [
        Result.of(
            "serving: batches / one by one", found["batched"], found["single"], goal=1 / 2, equal=True, note=note
        ),
        Result.of(
            "serving: one client / predict + 3 ms",
            alone["http"],
            allowed,
            goal=1.0,
            equal=True,
            note="median latency, by the clock",
        ),
        *flooded,
    ]


def _overload(trained: mmsdk.Trained, quick: bool) -> list[Result]:
    """By the clock: what waits for a lock takes no processor time. Memory: megabytes instead of milliseconds."""
    count, seconds = (1, 1.0) if quick else (5, 6.0)
    samples = [{"text": " ".join([TEXT] * 4) + f" {place}"} for place in range(16)]
    scores = [dict(result["kind"].scores or {}) for result in trained.pipeline.predict(samples)]
    with _server(trained.run, 8, "--waiting", "16") as server:
        client = Client(server.address, samples, scores)
        asyncio.run(rounds(client, 1, seconds / 2, 24))
        before = server.megabytes()
        client.free.clear()
        found = asyncio.run(rounds(client, count, seconds, 24))
        after = server.megabytes()
    ours = [flood.seconds / max(1, flood.served) for _, flood in found]
    theirs = [capacity.seconds / max(1, capacity.served) for capacity, _ in found]
    each = not any(load.wrong for pair in found for load in pair)
    asked = sum(flood.asked for _, flood in found)
    refused = sum(flood.refused for _, flood in found)
    note = f"seconds per answer, by the clock; {asked:,} asked in all, {refused:,} refused while it was measured"
    name = "serving: 10 times overload / as much as it can"
    return [
        Result.of(name, ours, theirs, goal=1 / 0.9, equal=each, note=note),
        Result.of(
            "serving: memory after overload / before",
            [after / 1000],
            [before / 1000],
            goal=1.1,
            equal=each,
            note="MB instead of ms",
        ),
    ]


def _trained(out: Path, layers: int, width: int = 64) -> mmsdk.Trained:
    """By default a narrow, deep transformer: a model whose time is spent on its number of steps, as small ones' is."""
    encoder = {"type": "transformer", "width": width, "layers": layers, "heads": 4, "dropout": 0.0}
    config = {
        "streams": {"text": {"modality": {"type": "text"}, "encoder": encoder}},
        "heads": {"kind": {"type": "classification", "target": "kind", "reads": ["text"]}},
        "training": {"epochs": 1, "batch_size": 8, "threads": 1},
    }
    rows = [{"text": f"{TEXT} {place}", "kind": "ab"[place % 2]} for place in range(16)]
    return mmsdk.train(config, rows, out=out, show=False)


def _scores(pipeline: mmsdk.Pipeline, count: int) -> list[dict[str, float]]:
    return [
        dict(result["kind"].scores or {}) for result in pipeline.predict([_sample(place) for place in range(count)])
    ]


def _sample(place: int) -> dict[str, Any]:
    return {"text": f"{TEXT} {place % 16}"}


class _Server:
    def __init__(self, process: subprocess.Popen[str], address: str) -> None:
        self.process, self.address = process, f"{address}/pipelines/run/predict"

    def seconds(self) -> float:
        """Processor time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def megabytes(self) -> float:
        """Memory that it holds now."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextmanager
def _server(run: Path, batch: int, *options: str) -> Iterator[_Server]:
    command = [sys.executable, "-m", "mmsdk", "serve", run, "--port", "0", "--batch", str(batch), *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert process.stderr is not None
    try:
        found = re.search(r"http://\S+", process.stderr.readline())
        assert found is not None
        server = _Server(process, found[0])
        _one(server, 3)
        yield server
    finally:
        process.terminate()
        process.wait()
        process.stderr.close()


def _many(server: _Server, count: int, scores: list[dict[str, float]]) -> float:
    """Processor seconds of the server per request; that each has its own answer is checked."""
    before = server.seconds()
    answers = asyncio.run(_all(server.address, count))
    spent = (server.seconds() - before) / count
    for answer, right in zip(answers, scores, strict=True):
        told = answer["results"][0]["predictions"]["kind"]["scores"]
        assert all(abs(told[label] - value) < 1e-5 for label, value in right.items())
    return spent


async def _all(address: str, count: int) -> list[Any]:
    gate = asyncio.Semaphore(CLIENTS)
    async with httpx.AsyncClient(timeout=60) as client:

        async def one(place: int) -> Any:
            async with gate:
                return (await client.post(address, json={"samples": [_sample(place)]})).raise_for_status().json()

        return await asyncio.gather(*map(one, range(count)))


def _one(server: _Server, count: int) -> float:
    """The median latency of one client."""
    with httpx.Client(timeout=60) as client:
        return median(_timed(lambda: client.post(server.address, json={"samples": [_sample(0)]})) for _ in range(count))


def _plain(pipeline: mmsdk.Pipeline, count: int) -> float:
    return median(_timed(lambda: pipeline.predict([_sample(0)])) for _ in range(count))


def _timed(body: Any) -> float:
    start = time.perf_counter()
    body()
    return time.perf_counter() - start
