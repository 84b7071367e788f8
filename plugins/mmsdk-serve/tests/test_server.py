"""`mmsdk serve` as a process: what it refuses to start with, overload, and an end that loses nothing."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
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
from mmsdk_serve.command import _named

SERVE = [sys.executable, "-m", "mmsdk", "serve"]
SLOW = """
import socket, sys, time, mmsdk
from mmsdk_serve import Limits, application
from mmsdk_serve.running import serve
run, seconds, waiting = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
pipeline = mmsdk.Pipeline.load(run)
predict = pipeline.predict
def slow(samples, **options):
    time.sleep(seconds)
    return predict(samples, **options)
pipeline.predict = slow
limits = Limits(waiting=waiting, batch=8)
with socket.create_server(("127.0.0.1", 0), backlog=2048) as listening:
    print(f"http://127.0.0.1:{listening.getsockname()[1]}", file=sys.stderr, flush=True)
    serve(application({"shop": pipeline}, limits), listening, limits)
"""
PREDICT = "/pipelines/shop/predict"


@contextmanager
def server(*command: str | Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server, and its address."""
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
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


def slow(run: Path, seconds: float, waiting: int) -> Any:
    """A server whose batches of 8 take so many seconds at least."""
    return server(sys.executable, "-c", SLOW, run, str(seconds), str(waiting))


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
    with server(*SERVE, run, "--port", "0") as (process, address):
        answer = httpx.post(address + PREDICT, json={"samples": [{"title": "a red thing"}]})
        assert answer.json()["results"][0]["predictions"]["kind"]["value"] in ("a", "b")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_under_overload_each_accepted_request_has_its_own_answer(run: Path, pipeline: mmsdk.Pipeline) -> None:
    """160 a second can be answered, and 16 may wait; 400 come at once."""
    titles = [f"a {'red' if place % 3 else 'blue'} thing {place % 5}" for place in range(400)]
    with slow(run, 0.05, waiting=16) as (_, address):
        answers = asyncio.run(_all_at_once(address, titles))
    right = pipeline.predict([{"title": title} for title in titles])
    counts: dict[int, int] = {}
    for answer, mine in zip(answers, right, strict=True):
        counts[answer.status_code] = counts.get(answer.status_code, 0) + 1
        if answer.status_code == 200:
            assert own(answer, mine)
        else:
            assert answer.status_code == 429 and "wait already" in answer.json()["error"]
            assert answer.headers["retry-after"] == "1"
    assert counts[200] >= 16 and counts[429] >= 100, counts


def test_at_a_signal_what_was_accepted_is_answered_and_what_is_new_is_refused(
    run: Path, pipeline: mmsdk.Pipeline
) -> None:
    titles = [f"a {'red' if place % 3 else 'blue'} thing {place % 5}" for place in range(50)]
    right = pipeline.predict([{"title": title} for title in titles])
    with slow(run, 0.5, waiting=64) as (process, address):
        answers, late = asyncio.run(_with_a_signal(address, titles, process))
        assert process.wait(10) == 0
    assert [answer.status_code for answer in answers] == [200] * 50
    assert all(own(answer, mine) for answer, mine in zip(answers, right, strict=True))
    assert late.status_code == 503 and late.headers["retry-after"] == "5"


async def _with_a_signal(address: str, titles: list[str], process: Any) -> tuple[list[httpx.Response], httpx.Response]:
    """The answers to requests that are under way at the signal, and to one that comes after it."""
    async with httpx.AsyncClient(timeout=30) as client:
        asked = asyncio.create_task(_all_at_once(address, titles))
        while "mmsdk_inside 51.0" not in (await client.get(f"{address}/metrics")).text:
            await asyncio.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.3)
        late = await client.post(address + PREDICT, json={"samples": [{"title": "too late"}]})
        return await asked, late


async def _all_at_once(address: str, titles: list[str]) -> list[httpx.Response]:
    limits = httpx.Limits(max_connections=500)
    async with httpx.AsyncClient(limits=limits, timeout=30) as client:
        asked = (client.post(address + PREDICT, json={"samples": [{"title": title}]}) for title in titles)
        return list(await asyncio.gather(*asked))


def own(answer: httpx.Response, right: mmsdk.Result) -> bool:
    told = answer.json()["results"][0]["predictions"]["kind"]["scores"]
    return all(abs(told[label] - score) < 1e-5 for label, score in dict(right["kind"].scores or {}).items())


def test_what_was_accepted_is_answered_at_the_end(pipeline: mmsdk.Pipeline, samples: Callable[[int], Any]) -> None:
    app = application({"shop": pipeline}, Limits())
    with TestClient(app) as client:
        sample = {"samples": [{"title": "a red thing"}]}
        assert client.post(PREDICT, json=sample).status_code == 200
    late = TestClient(app).post(PREDICT, json=sample)  # the application has ended
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


def test_a_pipeline_has_its_folders_name_or_another(tmp_path: Path) -> None:
    """Runs that are all called `run` can be served together; a folder may have an equals sign in its name."""
    odd = tmp_path / "lr=0.1"
    odd.mkdir()
    named = [_named(given) for given in ("a/run", "toys=b/run", "my toys=c", str(odd))]
    assert [name for name, _ in named] == ["run", "toys", "my_toys", "lr_0.1"]
    assert [str(folder) for _, folder in named] == ["a/run", "b/run", "c", str(odd)]
