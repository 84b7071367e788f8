"""More clients than a server can answer, and worse ones: what is accepted is answered, once and right."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.storm import stormed
from tests.faults.tally import Tally

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).parent / "programs" / "storm_server.py"
CALM = 16
"""Clients that keep the server busy, and wait for each other's batches only."""
CAPACITY, GROWTH = 0.9, 1.1


@pytest.fixture
def server() -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    pytest.importorskip("mmsdk_serve")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, PROGRAM, str(port)], env=environment)
    try:
        for _ in range(1200):
            with socket.socket() as asking:
                if asking.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, "the server died at its beginning"
            time.sleep(0.05)
        yield process, port
    finally:
        process.kill()
        process.wait()


def answered(port: int) -> float:
    """How many predictions the server has given, whether or not somebody was still there."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found = re.search(r'mmsdk_requests_total\{path="/pipelines/shop/predict",status="200"\} (\S+)', text)
    assert found, text
    return float(found[1])


def resident(process: subprocess.Popen[bytes]) -> int:
    status = Path(f"/proc/{process.pid}/status")
    return int(status.read_text().partition("VmRSS:")[2].split()[0]) * 1024 if status.exists() else 0


@pytest.mark.slow
@pytest.mark.long  # it needs the cores for itself
@pytest.mark.faults("A5")
@pytest.mark.timeout(5000)
def test_a_storm(server: tuple[subprocess.Popen[bytes], int], tally: Tally) -> None:
    process, port = server
    asyncio.run(stormed(port, 2, CALM))  # so that all is loaded
    begun = answered(port)
    calm = asyncio.run(stormed(port, 5, CALM))
    capacity = (answered(port) - begun) / 5
    seconds, clients = tally.size(20, 120), tally.size(150, 500)
    first = asyncio.run(stormed(port, seconds / 4, clients, 4))
    before, begun = resident(process), answered(port)
    storm = asyncio.run(stormed(port, seconds, clients, 4))
    after, served = resident(process), (answered(port) - begun) / seconds / capacity
    tally.tried = first.answers.total() + storm.answers.total()
    tally.lost += first.strange + storm.strange + calm.strange
    tally.figure("served_of_capacity", round(served, 3))
    tally.figure("refused", storm.answers["429"])
    tally.figure("p99_seconds", sorted(storm.seconds)[int(0.99 * len(storm.seconds))])
    tally.figure("memory_growth", round(after / before, 3) if before else 0.0)
    assert process.poll() is None, "the server died"
    assert storm.answers["429"] > 100 and served >= CAPACITY, (storm.answers, calm.answers)
    assert after <= before * GROWTH, (before, after)
