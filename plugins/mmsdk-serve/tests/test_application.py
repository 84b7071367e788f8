"""Requests and their answers: the same as `predict`, any stream absent, and a clear word for whatever is wrong."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

import mmsdk
from mmsdk_serve import Limits, application

PREDICT = "/pipelines/shop/predict"


def as_json(sample: dict[str, Any]) -> dict[str, Any]:
    return {
        name: base64.b64encode(value).decode() if isinstance(value, bytes) else value for name, value in sample.items()
    }


def asked(client: TestClient, *rows: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    answer = client.post(PREDICT, json={"samples": [as_json(row) for row in rows], **more})
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]


def test_answers_are_those_of_predict(client: TestClient, pipeline: mmsdk.Pipeline, samples: Any) -> None:
    rows = samples(6)
    rows[1].pop("photo")
    rows[2] = {"title": "a red thing"}
    rows[3]["title"] = None
    for result, told in zip(pipeline.predict(rows), asked(client, *rows), strict=True):
        mine = told["predictions"]["kind"]
        assert mine["value"] == result["kind"].value
        assert mine["scores"] == pytest.approx(result["kind"].scores, abs=1e-6)


def test_a_form_gives_the_same(client: TestClient, samples: Any) -> None:
    sample = samples(1)[0]
    form = {"title": sample["title"], "price": "0.0", "weight": ""}
    told = client.post(PREDICT, data=form, files={"photo": ("x.png", sample["photo"])}).json()["results"][0]
    del sample["weight"]
    assert told["predictions"]["kind"]["scores"] == pytest.approx(
        asked(client, sample)[0]["predictions"]["kind"]["scores"], abs=1e-6
    )


def test_shares_add_up_to_what_is_above_chance(client: TestClient, samples: Any) -> None:
    for count in (1, 2, 3):
        sample = dict(list(samples(1)[0].items())[:count])
        told = asked(client, sample, shares=True)[0]
        if count == 1:
            assert "shares" not in told
            continue
        shares, prediction = told["shares"]["kind"], told["predictions"]["kind"]
        assert list(shares) == ["photo", "title", "facts"][:count]
        assert sum(shares.values()) == pytest.approx(prediction["scores"][prediction["value"]] - 0.5, abs=1e-6)


def test_one_bad_sample_of_eight_spoils_no_other(client: TestClient, samples: Any) -> None:
    rows = samples(8)
    right = asked(client, *rows)
    for bad in range(100):
        spoilt = [
            {**row, "photo": b"no picture %d" % bad} if place == bad % 8 else row for place, row in enumerate(rows)
        ]
        for place, (mine, told) in enumerate(zip(right, asked(client, *spoilt), strict=True)):
            if place == bad % 8:
                assert "photo" in told["error"] and "predictions" not in told
            else:
                assert told["predictions"]["kind"]["scores"] == pytest.approx(
                    mine["predictions"]["kind"]["scores"], abs=1e-5
                )


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"samples": [{"price": NaN}]}', "NaN"),
        (b"[]", '"samples"'),
        (b'{"samples": []}', "at least one"),
        (b'{"samples": [{}]}', "samples[0]: expected an object with at least one of: photo, title, price, weight"),
        (b'{"samples": [{"title": "x"}], "head": 1}', "unknown field 'head'"),
        (b'{"samples": [{"titel": "x"}]}', "no column 'titel'; there are: photo, title, price, weight"),
        (b'{"samples": [{"title": 3}]}', "samples[0].title: expected string or null, found 3"),
        (b'{"samples": [{"price": true}]}', "found true"),
        (b'{"samples": [{"photo": "/etc/passwd"}]}', "paths and addresses are not opened"),
        (b'{"samples": [{"photo": ["../x.png"]}]}', "paths and addresses are not opened"),
        (b'{"samples": [{"photo": {"samples": "/etc/passwd"}}]}', "expected numbers, found text"),
        (b'{"samples": [{"title": "x"}], "shares": 1}', "true or false"),
        (json.dumps({"samples": [{"title": "x"}] * 65}).encode(), "65 at once, and the limit is 64"),
    ],
)
def test_what_is_wrong_is_told(client: TestClient, body: bytes, told: str) -> None:
    answer = client.post(PREDICT, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422 and told in answer.json()["error"], answer.text


def test_a_value_that_reads_like_a_path_is_never_opened(client: TestClient, tmp_path: Path, png: Any) -> None:
    picture = tmp_path / "there.png"
    picture.write_bytes(png(200))
    for value in (str(picture), f"file://{picture}", "http://127.0.0.1/x.png"):
        answer = client.post(PREDICT, json={"samples": [{"photo": value}]})
        assert answer.status_code == 422, answer.text
        assert client.post(PREDICT, files={"photo": (None, value)}).status_code == 422
    letters = base64.b64encode(str(picture).encode()).decode()  # bytes that spell a path are bytes
    (told,) = client.post(PREDICT, json={"samples": [{"photo": letters}]}).json()["results"]
    assert "error" in told


def bomb() -> bytes:
    """A PNG of a few bytes that says it has 30,000 x 30,000 pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    rows = chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + rows + chunk(b"IEND", b"")


def test_bombs_are_refused(client: TestClient) -> None:
    (told,) = asked(client, {"photo": bomb()})
    assert "pixels" in told["error"]
    large = client.post(PREDICT, content=b" " * 200_001, headers={"Content-Type": "application/json"})
    assert large.status_code == 413 and "200,000 bytes" in large.json()["error"]
    parts = client.post(PREDICT, content=iter([b" " * 100_000] * 3), headers={"Content-Type": "application/json"})
    assert parts.status_code == 413  # without a length in its header, too


def test_other_kinds_of_body_and_of_address(client: TestClient) -> None:
    answer = client.post(PREDICT, content=b"<x/>", headers={"Content-Type": "text/xml"})
    assert answer.status_code == 415 and "found 'text/xml'" in answer.json()["error"]
    assert client.get(PREDICT).status_code == 405
    missing = client.post("/pipelines/other/predict", json={})
    assert missing.status_code == 404 and "There is no pipeline of this name here. Served are: " in missing.text
    assert client.post(PREDICT, content=b"x", headers={"Content-Type": "multipart/form-data"}).status_code == 422


def test_a_key_is_wanted_everywhere_but_for_the_page(pipeline: mmsdk.Pipeline) -> None:
    with TestClient(application({"shop": pipeline}, key="k" * 32)) as client:
        assert [client.get(open_to_all).status_code for open_to_all in ("/", "/health", "/v2/health/live")] == [200] * 3
        body = {"samples": [{"title": "a red thing"}]}
        for given in (
            {},
            {"Authorization": "Bearer " + "k" * 31},
            {"Authorization": "k" * 32},
            {"X-Api-Key": "k" * 32},
        ):
            for method, address in (
                ("POST", PREDICT),
                ("GET", "/pipelines"),
                ("GET", "/metrics"),
                ("GET", "/openapi.json"),
            ):
                answer = client.request(method, address, json=body, headers=given)
                assert answer.status_code == 401 and "kkk" not in answer.text, address
        for way in (
            {"url": f"{PREDICT}?key={'k' * 32}"},
            {"url": f"{PREDICT}?authorization=Bearer%20{'k' * 32}"},
            {"url": PREDICT, "headers": {"Cookie": "authorization=Bearer " + "k" * 32}},
            {"url": PREDICT, "headers": {"X-HTTP-Method-Override": "OPTIONS"}},
            {"url": PREDICT, "headers": {"Host": "127.0.0.1", "X-Forwarded-For": "127.0.0.1"}},
            {"url": PREDICT, "headers": {"X-Original-URL": "/health", "X-Rewrite-URL": "/health"}},
            {"url": f"/health/..{PREDICT}"},
            {"url": f"/{PREDICT}"},
            {"url": "/health/"},
            {"url": f"{PREDICT}/"},
        ):
            assert client.post(**way, json=body).status_code == 401, way
        right = {"Authorization": "Bearer " + "k" * 32}
        assert client.post(PREDICT, json=body, headers=right).status_code == 200


def test_openapi_names_the_streams(client: TestClient) -> None:
    told = client.get("/openapi.json").json()
    content = told["paths"][PREDICT]["post"]["requestBody"]["content"]
    sample = content["application/json"]["schema"]["properties"]["samples"]["items"]
    assert list(sample["properties"]) == ["photo", "title", "price", "weight"]
    assert "Stream 'facts'" in sample["properties"]["price"]["description"]
    assert content["multipart/form-data"]["schema"]["properties"]["photo"]["format"] == "binary"


def test_figures_and_health(client: TestClient, samples: Any) -> None:
    asked(client, *samples(3))
    figures = client.get("/metrics").text
    assert f'mmsdk_requests_total{{path="{PREDICT}",status="200"}} 1.0' in figures
    assert 'mmsdk_batch_size_sum{pipeline="shop"} 3.0' in figures and 'mmsdk_waiting{pipeline="shop"} 0.0' in figures
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/pipelines").json()[0]["heads"] == ["kind"]


def test_a_failure_of_ours_is_told_by_a_number_alone(pipeline: mmsdk.Pipeline, monkeypatch: Any) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(pipeline, "predict", broken)
    with TestClient(application({"shop": pipeline}), raise_server_exceptions=False) as client:
        answer = client.post(PREDICT, json={"samples": [{"title": "x"}]})
    assert answer.status_code == 500 and "log has it under" in answer.json()["error"] and "secret" not in answer.text


def test_a_deadline_is_kept(pipeline: mmsdk.Pipeline, monkeypatch: Any) -> None:
    from threading import Event

    free = Event()
    monkeypatch.setattr(pipeline, "predict", lambda *_, **__: free.wait(10) and [])
    with TestClient(application({"shop": pipeline}, Limits(deadline=0.1))) as client:
        answer = client.post(PREDICT, json={"samples": [{"title": "x"}]})
        free.set()
    assert answer.status_code == 504 and "within 0.1 s" in answer.json()["error"]


def test_an_exported_pipeline_is_served_as_any_other(pipeline: mmsdk.Pipeline, samples: Any, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    rows = samples(4)
    graph = mmsdk.Pipeline.load(pipeline.export(tmp_path / "graph", rows))
    del rows[1]["photo"], rows[2]["title"]
    with TestClient(application({"shop": graph})) as client:
        for mine, right in zip(asked(client, *rows), pipeline.predict(rows), strict=True):
            assert mine["predictions"]["kind"]["scores"] == pytest.approx(right["kind"].scores, abs=1e-5)


def test_what_cannot_be_served_is_told(pipeline: mmsdk.Pipeline, monkeypatch: Any) -> None:
    monkeypatch.setattr(pipeline, "config", pipeline.config.model_copy(update={"group_by": "shelf"}))
    with pytest.raises(mmsdk.ConfigError, match="'shop' reads groups of rows"):
        application({"shop": pipeline})
