"""The Open Inference Protocol as a client of it speaks it: tritonclient, over a socket, with JSON and with bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

import mmsdk


@pytest.fixture
def triton_client(pipeline: mmsdk.Pipeline, listening: Any) -> Iterator[Any]:
    with (
        listening({"shop": pipeline}) as address,
        triton.InferenceServerClient(address.removeprefix("http://")) as client,
    ):
        yield client


def tensor(name: str, values: list[Any], kind: str = "BYTES", binary: bool = True) -> Any:
    array = np.array(values, dtype=object if kind == "BYTES" else np.float32)
    made = triton.InferInput(name, list(array.shape), kind)
    made.set_data_from_numpy(array, binary_data=binary)
    return made


def told(result: Any) -> list[Any]:
    return [json.loads(each) for each in result.as_numpy("kind")]


def test_what_there_is(triton_client: Any) -> None:
    assert triton_client.is_server_live() and triton_client.is_server_ready() and triton_client.is_model_ready("shop")
    assert not triton_client.is_model_ready("other")
    about = triton_client.get_server_metadata()
    assert about["name"] == "mmsdk-serve" and "binary_tensor_data" in about["extensions"]
    inputs = triton_client.get_model_metadata("shop")["inputs"]
    assert [each["name"] for each in inputs] == ["photo", "title", "price", "weight"]


@pytest.mark.parametrize("binary", [True, False])
def test_texts_and_numbers(triton_client: Any, pipeline: mmsdk.Pipeline, samples: Any, binary: bool) -> None:
    rows = [{name: row[name] for name in ("title", "price")} for row in samples(3)]
    inputs = [
        tensor("title", [row["title"] for row in rows], binary=binary),
        tensor("price", [row["price"] for row in rows], "FP32", binary=binary),
    ]
    outputs = [triton.InferRequestedOutput("kind", binary_data=binary)]
    result = triton_client.infer("shop", inputs, outputs=outputs, request_id="7")
    assert result.get_response()["id"] == "7" and result.get_response()["model_name"] == "shop"
    for mine, right in zip(told(result), pipeline.predict(rows), strict=True):
        assert mine["value"] == right["kind"].value
        assert mine["scores"] == pytest.approx(right["kind"].scores, abs=1e-6)


def test_pictures_as_they_are_and_others_absent(triton_client: Any, pipeline: mmsdk.Pipeline, samples: Any) -> None:
    pictures = [row["photo"] for row in samples(4)]
    result = triton_client.infer("shop", [tensor("photo", pictures)])
    right = pipeline.predict([{"photo": picture} for picture in pictures])
    for mine, each in zip(told(result), right, strict=True):
        assert mine["scores"] == pytest.approx(each["kind"].scores, abs=1e-6)


@pytest.mark.parametrize(
    ("inputs", "outputs", "said"),
    [
        ([("photo", [b"no picture"])], None, "sample 0: 'photo'"),
        ([("titel", ["x"])], None, "no column 'titel'"),
        ([("title", [b"\xff"])], None, "element 0 is not text"),
        ([("price", [float("inf")], "FP32")], None, "expected a finite number"),
        ([("title", ["x"])], "sort", "expected 'kind', found 'sort'"),
    ],
)
def test_errors_reach_the_client(triton_client: Any, inputs: list[Any], outputs: str | None, said: str) -> None:
    asked = None if outputs is None else [triton.InferRequestedOutput(outputs)]
    with pytest.raises(InferenceServerException, match=said):
        triton_client.infer("shop", [tensor(*each) for each in inputs], outputs=asked)


def test_many_at_once(triton_client: Any, pipeline: mmsdk.Pipeline, samples: Any) -> None:
    rows = samples(16)
    asked = [triton_client.async_infer("shop", [tensor("title", [row["title"]])]) for row in rows]
    right = pipeline.predict([{"title": row["title"]} for row in rows])
    for each, mine in zip(asked, right, strict=True):
        (one,) = told(each.get_result())
        assert one["scores"] == pytest.approx(mine["kind"].scores, abs=1e-5)
