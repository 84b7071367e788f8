"""Clients that are slow, go away, or speak nonsense: they get a word or nothing, and nobody else notices."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from threading import Event
from typing import Any

import httpx
import pytest

import mmsdk
from mmsdk_serve import Limits

BODY = json.dumps({"samples": [{"title": "a red thing"}]}).encode()
HEAD = b"POST /pipelines/shop/predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.fixture
def address(listening: Any, pipeline: mmsdk.Pipeline) -> Iterator[str]:
    """A server of little patience; afterwards it still answers, and nothing of the others is left in it."""
    with listening({"shop": pipeline}, Limits(reading=1.0)) as address:
        yield address
        answer = httpx.post(f"{address}/pipelines/shop/predict", json=json.loads(BODY))
        assert answer.status_code == 200
        for _ in range(100):
            if inside(address) == 0:
                break
            time.sleep(0.05)
        assert inside(address) == 0


def inside(address: str) -> float:
    """Requests that are under way, but for the one that asks."""
    line = next(line for line in httpx.get(f"{address}/metrics").text.split("\n") if line.startswith("mmsdk_inside "))
    return float(line.split()[1]) - 1


def connected(address: str) -> socket.socket:
    host, port = address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def said(connection: socket.socket) -> bytes:
    """Everything until the server closes the connection."""
    found = b""
    while data := connection.recv(65536):
        found += data
    return found


@pytest.mark.parametrize(
    "sent", [b"", b"POST /pipelines/shop/pre", HEAD], ids=["nothing", "half a line", "half of the headers"]
)
def test_whoever_does_not_send_headers_is_left(address: str, sent: bytes) -> None:
    with connected(address) as connection:
        connection.sendall(sent)
        begin = time.monotonic()
        assert said(connection) == b"" and 0.5 < time.monotonic() - begin < 8


def test_bytes_now_and_then_do_not_help(address: str) -> None:
    """Neither in the headers nor between requests."""
    for before in (b"", HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY):
        with connected(address) as connection:
            connection.sendall(before)
            begin = time.monotonic()
            with pytest.raises(OSError):  # closed: first it still takes what is sent, then it does not
                for letter in HEAD * 10:
                    connection.sendall(bytes([letter]))
                    time.sleep(0.1)
            assert time.monotonic() - begin < 8


@pytest.mark.parametrize("length", [b"Content-Length: 1000", b"Transfer-Encoding: chunked"])
def test_a_body_that_does_not_come_is_told(address: str, length: bytes) -> None:
    with connected(address) as connection:
        connection.sendall(HEAD + length + b"\r\n\r\n" + (b"" if length.endswith(b"chunked") else b"{"))
        answer = said(connection)
    assert answer.startswith(b"HTTP/1.1 408") and b"not there within 1 s" in answer


def test_slow_ones_do_not_keep_others_waiting(address: str) -> None:
    slow = [connected(address) for _ in range(100)]
    for connection in slow:
        connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\n{")
    answer = httpx.post(f"{address}/pipelines/shop/predict", json=json.loads(BODY))
    assert answer.status_code == 200
    for connection in slow:
        connection.close()


def test_clients_that_go_in_the_middle(address: str, caplog: pytest.LogCaptureFixture) -> None:
    whole = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
    for place in range(0, len(whole) + 1, 5):
        with connected(address) as connection:
            connection.sendall(whole[:place])
    assert caplog.records == []


def test_requests_sent_at_once_are_answered_in_order(address: str) -> None:
    bodies = [json.dumps({"samples": [{"title": "a red thing"}] * count}).encode() for count in (3, 1, 2)]
    requests = [HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body for body in bodies]
    with connected(address) as connection:
        connection.sendall(b"".join(requests))
        received = b""
        while received.count(b'"predictions"') < 6:
            received += connection.recv(65536)
    assert [part.count(b'"predictions"') for part in received.split(b"HTTP/1.1 200")[1:]] == [3, 1, 2]


@pytest.mark.parametrize(
    ("request_line", "headers", "status"),
    [
        ("POST /pipelines/shop/predict", "Content-Length: 2\r\nContent-Length: 3", 400),
        ("POST /pipelines/shop/predict", "Content-Length: 2\r\nTransfer-Encoding: chunked", 400),
        ("POST /pipelines/shop/predict", "Content-Length: -1", 400),
        ("POST /pipelines/shop/predict", "Content-Length: 99999999999", 413),
        ("POST /pipelines/shop/predict", "Content-Type: application/json; charset=\xff\r\nContent-Length: 2", 422),
        ("POST /pipelines/shop/predict", "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 2", 415),
        ("POST /pipelines/shop/predict", "Content-Length: 2", 415),
        ("GET /../../etc/passwd", "Accept: */*", 404),
        ("GET http://10.0.0.1/", "Accept: */*", 200),  # a proxy it is not: only the path counts
        ("TRACE /", "Accept: */*", 405),
        ("NONSENSE /", "Accept: */*", 400),
        ("GET /health", "Upgrade: websocket\r\nConnection: Upgrade", 200),
    ],
)
def test_odd_requests_get_a_plain_word(address: str, request_line: str, headers: str, status: int) -> None:
    with connected(address) as connection:
        text = f"{request_line} HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n" + "{}" * request_line.startswith("POST")
        connection.sendall(text.encode("latin-1"))
        assert connection.recv(65536).split()[1] == str(status).encode()


def test_a_refusal_keeps_the_connection_the_key_and_the_count(
    listening: Any, pipeline: mmsdk.Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    free, predict = Event(), pipeline.predict
    monkeypatch.setattr(pipeline, "predict", lambda *args, **options: free.wait(20) and predict(*args, **options))
    knows = b"Authorization: Bearer " + b"k" * 32 + b"\r\n"
    rest = b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
    with (
        listening({"shop": pipeline}, Limits(waiting=1), key="k" * 32) as address,
        connected(address) as first,
        connected(address) as second,
        connected(address) as third,
    ):
        first.sendall(HEAD + knows + rest)
        figures = httpx.Client(headers={"Authorization": "Bearer " + "k" * 32})
        while 'mmsdk_batch_size_count{pipeline="shop"} 1.0' not in figures.get(f"{address}/metrics").text:
            time.sleep(0.01)
        second.sendall(HEAD + knows + rest)
        while 'mmsdk_waiting{pipeline="shop"} 1.0' not in figures.get(f"{address}/metrics").text:
            time.sleep(0.01)
        third.sendall((HEAD + knows + rest) * 2 + b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" + HEAD + rest)
        received = b""
        while b"a key is wanted" not in received:
            received += third.recv(65536)
        statuses = [part[:3] for part in received.split(b"HTTP/1.1 ")[1:]]
        assert statuses == [b"429", b"429", b"200", b"401"] and received.count(b"retry-after: 1\r\n") == 2
        told = figures.get(f"{address}/metrics").text
        assert 'mmsdk_requests_total{path="/pipelines/shop/predict",status="429"} 2.0' in told
        figures.close()
        free.set()
        assert b"200 OK" in first.recv(65536) and b"200 OK" in second.recv(65536)
