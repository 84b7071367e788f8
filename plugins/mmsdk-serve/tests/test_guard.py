"""Who is answered: with a key, without one, under which name, and how fast a body has to come."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from fastapi.testclient import TestClient

import mmsdk
from mmsdk_serve import Limits, application

KEY = "0123456789abcdef0123"
SAMPLE = {"samples": [{"title": "a red thing"}]}
PREDICT = "/pipelines/shop/predict"


@pytest.fixture(scope="module")
def locked(pipeline: mmsdk.Pipeline) -> Iterator[TestClient]:
    with TestClient(application({"shop": pipeline}, key=KEY)) as client:
        yield client


@pytest.fixture(scope="module")
def own(pipeline: mmsdk.Pipeline) -> Iterator[TestClient]:
    app = application({"shop": pipeline}, hosts=["localhost", "127.0.0.1", "[::1]"])
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        yield client


WRONG: dict[str, dict[str, Any]] = {
    "no key": {},
    "another key": {"headers": {"Authorization": f"Bearer {KEY[::-1]}"}},
    "a beginning of it": {"headers": {"Authorization": f"Bearer {KEY[:-1]}"}},
    "more than it": {"headers": {"Authorization": f"Bearer {KEY}0"}},
    "in other letters": {"headers": {"Authorization": f"Bearer {KEY.upper()}"}},
    "another scheme": {"headers": {"Authorization": f"Basic {KEY}"}},
    "no scheme": {"headers": {"Authorization": KEY}},
    "the scheme alone": {"headers": {"Authorization": "Bearer "}},
    "bytes that are no text": {"headers": {"Authorization": b"Bearer \xff\xfe"}},
    "in another header": {"headers": {"X-Api-Key": KEY}},
    "in a cookie": {"headers": {"Cookie": f"Authorization=Bearer {KEY}"}},
    "in the address": {"params": {"key": KEY, "api_key": KEY, "authorization": f"Bearer {KEY}"}},
    "another method on top": {"headers": {"X-HTTP-Method-Override": "GET"}},
    "the address of an open page on top": {"headers": {"X-Original-URL": "/health", "X-Rewrite-URL": "/"}},
    "as if from this machine": {"headers": {"X-Forwarded-For": "127.0.0.1", "Forwarded": "for=127.0.0.1"}},
    "another host": {"headers": {"Host": "127.0.0.1"}},
}


@pytest.mark.faults("A7")
@pytest.mark.parametrize("wrong", WRONG)
def test_without_the_key_nothing_is_told(
    locked: TestClient, wrong: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        answer = locked.post(PREDICT, json=SAMPLE, **WRONG[wrong])
    assert answer.status_code == 401 and answer.json() == {"error": "a key is wanted: Authorization: Bearer KEY"}
    own_logs = "".join(each.getMessage() for each in caplog.records if not each.name.startswith("httpx"))
    assert KEY not in own_logs + "".join(capfd.readouterr())


@pytest.mark.faults("A7")
@pytest.mark.parametrize(
    "path", ["/metrics", "/pipelines", "/openapi.json", "/v2", "/%2e/pipelines", "/health/../pipelines"]
)
def test_no_other_path_leads_around_it(locked: TestClient, path: str) -> None:
    answer = locked.get(path)
    assert answer.status_code == 401 and "shop" not in answer.text


@pytest.mark.faults("A7")
def test_with_the_key_it_answers(locked: TestClient) -> None:
    answer = locked.post(PREDICT, json=SAMPLE, headers={"Authorization": f"Bearer {KEY}"})
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


@pytest.mark.faults("A7")
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:8000"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "127.0.0.1@evil.example"},
        {"Host": ""},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1.evil.example:8000"},
    ],
)
def test_pages_of_others_are_refused(own: TestClient, headers: dict[str, str]) -> None:
    """A browser on this machine sends what a page of another site asks for; under a name of its own that leads here, it
    could read the answer, too."""
    answer = own.post(PREDICT, json=SAMPLE, headers=headers)
    assert answer.status_code == 403 and "only this machine is answered" in answer.json()["error"]


@pytest.mark.faults("A7")
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Host": "localhost"},
        {"Host": "LOCALHOST:8000"},
        {"Host": "[::1]:8000"},
        {"Origin": "http://127.0.0.1:8000"},
    ],
)
def test_its_own_page_is_answered(own: TestClient, headers: dict[str, str]) -> None:
    assert own.post(PREDICT, json=SAMPLE, headers=headers).status_code == 200


def test_too_many_values_are_refused(pipeline: mmsdk.Pipeline) -> None:
    with TestClient(application({"shop": pipeline}, Limits(values=100))) as client:
        assert client.post(PREDICT, json=SAMPLE).status_code == 200
        answer = client.post(PREDICT, json={"samples": [{"price": [0] * 100}]})
    assert answer.status_code == 413 and "more than 100 values" in answer.json()["error"]


def test_a_body_that_does_not_come_is_given_up(pipeline: mmsdk.Pipeline) -> None:
    app = application({"shop": pipeline}, Limits(reading=0.2))
    sent: list[Any] = []

    async def receive() -> Any:
        await anyio.sleep_forever()

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json"), (b"content-length", b"9")]
    scope = {"type": "http", "method": "POST", "path": PREDICT, "raw_path": PREDICT.encode(), "query_string": b""}
    anyio.run(
        app, scope | {"headers": headers, "http_version": "1.1", "server": ("x", 1), "scheme": "http"}, receive, send
    )
    assert sent[0]["status"] == 408 and b"within 0.2 s" in sent[1]["body"]


@pytest.mark.parametrize("length", ["-1", "1e3", "9" * 5000, "\u0663".encode(), "21000000"])
def test_lengths_that_are_none(pipeline: mmsdk.Pipeline, length: Any) -> None:
    with TestClient(application({"shop": pipeline})) as client:
        answer = client.post(
            PREDICT, content=b"{}", headers={"Content-Type": "application/json", "Content-Length": length}
        )
    assert answer.status_code == 413
