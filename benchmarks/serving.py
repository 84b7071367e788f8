"""`mmsdk serve` with many clients: answering in batches against one by one; and with one client, against `predict`."""

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

CLIENTS, OVERHEAD = 16, 0.003
TEXT = "a text of some length about nothing in particular which is the same each time but for its number"


def run(quick: bool) -> list[Result]:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        trained = _trained(Path(folder) / "run", layers=2 if quick else 120)
        pipeline, requests, rounds = trained.pipeline, (32 if quick else 200), (1 if quick else 7)
        with _server(trained.run, 1) as single, _server(trained.run, 32) as batched:
            scores = _scores(pipeline, requests)
            sides = {
                "batched": lambda: _many(batched, requests, scores),
                "single": lambda: _many(single, requests, scores),
            }
            found = interleaved(sides, rounds)
            sides = {"http": lambda: _one(batched, 20), "predict": lambda: _plain(pipeline, 20)}
            alone = interleaved(sides, rounds)
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
    ]


def _trained(out: Path, layers: int) -> mmsdk.Trained:
    """A narrow, deep transformer: a model whose time is spent on its number of steps, as small ones' is."""
    encoder = {"type": "transformer", "width": 64, "layers": layers, "heads": 4, "dropout": 0.0}
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


@contextmanager
def _server(run: Path, batch: int) -> Iterator[_Server]:
    command = [sys.executable, "-m", "mmsdk", "serve", run, "--port", "0", "--batch", str(batch)]
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
