"""The Open Inference Protocol: rows as samples, an input left out as an absent stream."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

import mmsdk

INFER = "/v2/models/shop/infer"


def tensor(name: str, kind: str, data: list[Any], shape: list[int] | None = None) -> dict[str, Any]:
    return {"name": name, "datatype": kind, "shape": shape or [len(data)], "data": data}


def test_rows_are_answered_as_by_predict(client: TestClient, pipeline: mmsdk.Pipeline, samples: Any) -> None:
    rows = samples(3)
    inputs = [
        tensor("photo", "BYTES", [base64.b64encode(row["photo"]).decode() for row in rows]),
        tensor("price", "FP32", [row["price"] for row in rows]),
    ]
    told = client.post(INFER, json={"id": "7", "inputs": inputs}).json()
    (output,) = told["outputs"]
    assert told["id"] == "7" and told["model_name"] == "shop" and output["shape"] == [3]
    right = pipeline.predict([{"photo": row["photo"], "price": row["price"]} for row in rows])
    assert [json.loads(each)["value"] for each in output["data"]] == [each["kind"].value for each in right]


def test_what_there_is(client: TestClient) -> None:
    assert client.get("/v2").json()["name"] == "mmsdk-serve"
    assert client.get("/v2/health/ready").json() == {"ready": True}
    assert client.get("/v2/models/shop/ready").json() == {"name": "shop", "ready": True}
    told = client.get("/v2/models/shop").json()
    assert [each["name"] for each in told["inputs"]] == ["photo", "title", "price", "weight"]
    assert [each["name"] for each in told["outputs"]] == ["kind"]
    assert client.get("/v2/models/other").status_code == 404


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ([], "at least one tensor"),
        ([3], "inputs[0]: expected an object"),
        ([tensor("titel", "BYTES", ["x"])], "no column 'titel'"),
        ([tensor("title", "TEXT", ["x"])], "found 'TEXT'"),
        ([tensor("title", "BYTES", ["x"], [0])], "whole numbers above 0"),
        ([tensor("title", "BYTES", ["x"], [10**30])], "1 values, but the shape"),
        ([tensor("title", "BYTES", [3])], "expected text for BYTES"),
        ([tensor("price", "FP32", ["3"])], "expected numbers for FP32"),
        ([tensor("price", "FP32", [3.0])] * 2, "there twice"),
        ([tensor("price", "FP32", [3.0]), tensor("title", "BYTES", ["x", "y"])], "different numbers of rows"),
        ([tensor("photo", "BYTES", ["bm8="])], "sample 0: 'photo'"),
        ([tensor("title", "BYTES", ["x"] * 65)], "the limit is 64"),
    ],
)
def test_what_is_wrong_is_told(client: TestClient, inputs: list[Any], told: str) -> None:
    answer = client.post(INFER, json={"inputs": inputs})
    assert answer.status_code == 422 and told in answer.json()["error"], answer.text


@pytest.mark.parametrize(
    ("size", "length", "tail", "told"),
    [
        (8, None, b"", "0 bytes are left"),
        (9, 0, b"12345678", "8 bytes are left"),
        (-1, 0, b"12345678", "binary_data_size"),
        (7, 0, b"1234567", "7 bytes are no whole number of values"),
        (12, 0, b"123456789012", "3 values, but the shape [2]"),
        (8, 10**30, b"12345678", "the body has"),
    ],
)
def test_bytes_behind_the_json_that_do_not_fit(
    client: TestClient, size: int, length: int | None, tail: bytes, told: str
) -> None:
    price = {"name": "price", "datatype": "FP32", "shape": [2], "parameters": {"binary_data_size": size}}
    head = json.dumps({"inputs": [price]}).encode()
    headers = {} if length is None else {"Inference-Header-Content-Length": str(length or len(head))}
    answer = client.post(INFER, content=head + tail, headers=headers)
    assert answer.status_code == 422 and told in answer.json()["error"], answer.text


def test_an_element_that_ends_behind_its_tensor(client: TestClient) -> None:
    title = {"name": "title", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 5}}
    head = json.dumps({"inputs": [title]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    answer = client.post(INFER, content=head + b"\x09\0\0\0x", headers=headers)
    assert answer.status_code == 422 and "element 0 ends behind the data" in answer.json()["error"]
