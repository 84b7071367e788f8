"""Search over HTTP: as the index itself finds, pictures by number and nothing else, no path in or out."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image
from typer.testing import CliRunner

import mmsdk
from mmsdk_retrieval import Index
from mmsdk_serve import Limits, application
from mmsdk_serve.command import app as command

SEARCH = "/pipelines/squares/search"


@pytest.fixture
def finder(seeking: mmsdk.Pipeline, index: Index) -> Iterator[TestClient]:
    with TestClient(application({"squares": seeking}, Limits(body=200_000), indexes={"squares": index})) as client:
        yield client


def found(client: TestClient, body: Any, options: str = "") -> dict[str, Any]:
    answer = client.post(SEARCH + options, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_it_finds_what_the_index_finds(finder: TestClient, seeking: mmsdk.Pipeline, index: Index) -> None:
    told = found(finder, {"caption": "a red square"}, "?k=3")
    hits = index.search(seeking, {"text": "a red square"}, k=3)
    assert told["in"] == "image" and [each["rank"] for each in told["results"]] == [1, 2, 3]
    assert [each["id"] for each in told["results"]] == [hit.id for hit in hits]
    assert [each["score"] for each in told["results"]] == pytest.approx([hit.score for hit in hits], abs=1e-6)
    assert told["results"][0]["values"] == {"id": hits[0].id, "caption": f"a {hits[0].id} square", "size": 500}


def test_a_picture_and_both_together_as_json_and_as_a_form(
    finder: TestClient, seeking: mmsdk.Pipeline, index: Index, seeker: Path
) -> None:
    picture = seeker.with_name("red.png").read_bytes()
    by_picture = found(finder, {"image": base64.b64encode(picture).decode()}, "?in=image&k=1")
    assert by_picture["results"][0]["id"] == "red" and by_picture["results"][0]["score"] == pytest.approx(1, abs=1e-5)
    form = finder.post(
        f"{SEARCH}?in=text", files={"image": ("x.png", picture)}, data={"caption": "a blue square"}
    ).json()
    hits = index.search(seeking, {"image": picture, "text": "a blue square"}, within="text")
    assert [each["id"] for each in form["results"]] == [hit.id for hit in hits]


def test_pictures_go_out_by_number_small_and_encoded_anew(finder: TestClient) -> None:
    for hit in found(finder, {"caption": "a red square"})["results"]:
        (number,) = hit["pictures"]
        answer = finder.get(f"/pipelines/squares/pictures/{number}")
        assert answer.status_code == 200 and answer.headers["content-type"] == "image/jpeg"
        picture = Image.open(io.BytesIO(answer.content))
        assert picture.size == (256, 205)
        right = {"red": 0, "green": 1, "blue": 2}.get(hit["id"])
        pixel: Any = picture.getpixel((9, 9))
        assert right is None or pixel.index(max(pixel)) == right
    assert [
        each["pictures"] for each in found(finder, {"caption": "x"}, "?in=text")["results"] if each["id"] == "words"
    ] == [[]]


@pytest.mark.parametrize(
    "number", ["4", "5", "-1", "999999999999999999999", "x", "1.5", "..%2f..%2fetc%2fpasswd", "red.png"]
)
def test_nothing_else_goes_out(finder: TestClient, number: str) -> None:
    assert finder.get(f"/pipelines/squares/pictures/{number}").status_code in (404, 422)


def test_no_path_is_told(
    finder: TestClient, seeker: Path, index: Index, seeking: mmsdk.Pipeline, tmp_path: Path
) -> None:
    assert str(seeker.parent) not in finder.post(SEARCH, json={"caption": "a red square"}).text
    moved = tmp_path / "there.png"
    moved.write_bytes(seeker.with_name("red.png").read_bytes())
    changing = Index.build(seeking, [{"id": "one", "image": str(moved), "caption": "x"}])
    moved.write_text("no picture any longer")
    with TestClient(application({"squares": seeking}, indexes={"squares": changing})) as client:
        answer = client.get("/pipelines/squares/pictures/0")
        assert answer.status_code == 404 and answer.json() == {"error": "there is no picture 0"}


@pytest.mark.parametrize(
    ("body", "options", "told"),
    [
        ({"text": "x"}, "", "no column 'text'; there are: image, caption"),
        ({}, "", "expected an object with at least one of: image, caption"),
        ({"caption": None}, "", "empty"),
        ({"image": "bm8="}, "", "image"),
        ({"image": "/etc/passwd"}, "", "paths and addresses are not opened"),
        ({"caption": "x"}, "?in=sound", "expected 'image' or 'text', found 'sound'"),
        ({"caption": "x"}, "?k=0", "from 1 to 100, found '0'"),
        ({"caption": "x"}, "?k=99999999999999999999", "from 1 to 100"),
        ({"caption": "x", "image": "AAAA"}, "", "Say which stream is to be searched"),
    ],
)
def test_what_is_wrong_is_told(finder: TestClient, body: Any, options: str, told: str) -> None:
    answer = finder.post(SEARCH + options, json=body)
    assert answer.status_code == 422 and told in answer.json()["error"], answer.text


def test_it_is_told_what_can_be_searched(finder: TestClient) -> None:
    (told,) = finder.get("/pipelines").json()
    assert told["heads"] == []
    assert told["search"] == {"streams": ["image", "text"], "columns": ["image", "caption"], "rows": 5}
    paths = finder.get("/openapi.json").json()["paths"]
    assert SEARCH in paths and not any(path.endswith(("/predict", "/infer")) for path in paths)
    sample = paths[SEARCH]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert list(sample["properties"]) == ["image", "caption"]


def test_an_index_and_its_pipeline_belong_together(
    seeker: Path, seeking: mmsdk.Pipeline, pipeline: mmsdk.Pipeline, run: Path, index: Index
) -> None:
    with pytest.raises(mmsdk.ConfigError, match="add --index FOLDER"):
        application({"squares": seeking})
    with pytest.raises(mmsdk.CheckpointError, match="made with another pipeline"):
        application({"shop": pipeline}, indexes={"shop": index})
    with pytest.raises(mmsdk.ConfigError, match="which is not served; served are shop"):
        application({"shop": pipeline}, indexes={"squares": index})
    folder = str(seeker.with_name("squares.index"))
    told = CliRunner().invoke(command, [str(run), "--port", "0", "--index", folder]).exception
    assert isinstance(told, mmsdk.ConfigError) and f"add the one that did ({seeker})" in str(told)
    told = CliRunner().invoke(command, [str(seeker), "--port", "0", "--index", folder, "--index", folder]).exception
    assert isinstance(told, mmsdk.ConfigError) and "has an index already" in str(told)
