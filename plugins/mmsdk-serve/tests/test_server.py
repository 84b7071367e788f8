"""`mmsdk serve` as a process: what it refuses to start with, overload, and an end that loses nothing."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

import mmsdk
from mmsdk_serve import Limits, application

SERVE = [sys.executable, "-m", "mmsdk", "serve"]
SLOW = """
import time
from pathlib import Path
import sys, uvicorn, mmsdk
from mmsdk_serve import Limits, application
pipeline = mmsdk.Pipeline.load(sys.argv[1])
predict = pipeline.predict
def slow(samples, **options):
    time.sleep(0.05)
    return predict(samples, **options)
pipeline.predict = slow
uvicorn.run(application({"shop": pipeline}, Limits(waiting=16, batch=8)), port=int(sys.argv[2]), log_level="warning")
"""


@contextmanager
def server(*command: str | Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server, and its address."""
    process = subprocess.Popen([*SERVE, *command], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        found = re.search(r"http://\S+", line)
        assert found, line + process.stderr.read()
        yield process, found[0]
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def ready(address: str) -> None:
    for _ in range(600):
        try:
            if httpx.get(f"{address}/health").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("the server does not answer")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--host", "0.0.0.0"], "add --api-key-file FILE"),
        (["--host", "192.168.1.7"], "add --api-key-file FILE"),
        (["--api-key-file", "{folder}/none"], "cannot be read"),
        (["--api-key-file", "{folder}/short"], "expected a key of 16"),
        (["--port", "{taken}"], "choose another --port"),
        (["{run}"], "two pipelines 'shop'"),
    ],
)
def test_what_it_refuses_to_start_with(run: Path, tmp_path: Path, options: list[str], told: str) -> None:
    import socket

    (tmp_path / "short").write_text("secret")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        filled = [each.format(folder=tmp_path, taken=taken.getsockname()[1], run=run) for each in options]
        done = subprocess.run([*SERVE, run, *filled], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and told in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_it_answers_and_ends_after_the_last_answer(run: Path) -> None:
    with server(run, "--port", "0") as (process, address):
        answer = httpx.post(f"{address}/pipelines/shop/predict", json={"samples": [{"title": "a red thing"}]})
        assert answer.json()["results"][0]["predictions"]["kind"]["value"] in ("a", "b")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) in (0, -signal.SIGTERM)


def test_under_overload_each_accepted_request_has_its_own_answer(run: Path, pipeline: mmsdk.Pipeline) -> None:
    """160 a second can be answered; 400 come at once, and at SIGTERM what was accepted is still answered."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-c", SLOW, str(run), str(port)], env=os.environ)
    try:
        ready(f"http://127.0.0.1:{port}")
        titles = [f"a {'red' if place % 3 else 'blue'} thing {place % 5}" for place in range(400)]
        answers = asyncio.run(_all_at_once(f"http://127.0.0.1:{port}/pipelines/shop/predict", titles, process))
    finally:
        process.kill()
        process.wait()
    right = pipeline.predict([{"title": title} for title in titles])
    counts: dict[int, int] = {}
    for (status, body), mine in zip(answers, right, strict=True):
        counts[status] = counts.get(status, 0) + 1
        if status == 200:
            told = body["results"][0]["predictions"]["kind"]["scores"]
            assert told == pytest.approx(mine["kind"].scores, abs=1e-5)
        else:
            assert status == 429 and "wait already" in body["error"]
    assert counts[200] >= 16 and counts[429] >= 100, counts


async def _all_at_once(address: str, titles: list[str], process: Any) -> list[tuple[int, Any]]:
    limits = httpx.Limits(max_connections=500)
    async with httpx.AsyncClient(limits=limits, timeout=30) as client:

        async def one(title: str) -> tuple[int, Any]:
            answer = await client.post(address, json={"samples": [{"title": title}]})
            return answer.status_code, answer.json()

        return list(await asyncio.gather(*map(one, titles)))


def test_what_was_accepted_is_answered_at_the_end(pipeline: mmsdk.Pipeline, samples: Callable[[int], Any]) -> None:
    app = application({"shop": pipeline}, Limits())
    with TestClient(app) as client:
        sample = {"samples": [{"title": "a red thing"}]}
        assert client.post("/pipelines/shop/predict", json=sample).status_code == 200
    late = TestClient(app).post("/pipelines/shop/predict", json=sample)  # the application has ended
    assert late.status_code == 503 and late.headers["retry-after"] == "5"


def made_up_calls(pipeline: mmsdk.Pipeline, count: int) -> int:
    """Call each route so many times with what its schema allows; how many calls that were."""
    app, calls = application({"shop": pipeline}), 0
    with TestClient(app):
        for operation in schemathesis.openapi.from_asgi("/openapi.json", app).get_all_operations():

            @settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
            @given(operation.ok().as_strategy())
            def call(case: Any) -> None:
                nonlocal calls
                calls += 1
                answer = case.call()
                assert answer.status_code < 500, answer.text
                case.validate_response(answer, checks=[response_schema_conformance, status_code_conformance])

            call()
    return calls


def test_made_up_calls_break_nothing(pipeline: mmsdk.Pipeline) -> None:
    assert made_up_calls(pipeline, 15) > 30


@pytest.mark.slow
@pytest.mark.faults("A6")
def test_a_thousand_made_up_calls_break_nothing(pipeline: mmsdk.Pipeline, tally: Any) -> None:
    tally.tried = made_up_calls(pipeline, tally.size(700, 35_000))
    assert tally.tried > 1000
