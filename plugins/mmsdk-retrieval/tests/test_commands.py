"""The commands: index, search, unindex, classify; answers for persons and programs, errors without tracebacks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmsdk_retrieval import Index

from .conftest import COLOURS

Cli = Callable[..., Any]


@pytest.fixture
def made(index: Index, tmp_path: Path) -> Path:
    return index.save(tmp_path / "index")


def test_from_a_file_to_an_answer(cli: Cli, run: Path, squares: Path, tmp_path: Path) -> None:
    folder = tmp_path / "index"
    answered = cli("index", run, "--data", squares, "--out", folder)
    assert (answered.exit_code, answered.stderr) == (0, "")
    assert answered.stdout == f"{folder}: 9 rows added, 9 in all, 0 left out\n"
    answered = cli("search", folder, "text=a blue square", "--k", "2")
    first, second = answered.stdout.splitlines()
    assert answered.exit_code == 0 and first.split()[0] == "1" and first.split()[2] == "blue"
    assert "caption=a blue square" in first and second.split()[0] == "2"


def test_search_for_programs_with_a_gallery(cli: Cli, made: Path, squares: Path, tmp_path: Path) -> None:
    page, image = tmp_path / "page.html", squares.parent / "red.png"
    options = ["--in", "image", "--k", "3", "--gallery", page, "--json"]
    found = json.loads(cli("search", made, "text=a red square", f"image={image}", *options).stdout)
    assert found["in"] == "image" and found["gallery"] == str(page)
    assert [hit["rank"] for hit in found["hits"]] == [1, 2, 3]
    assert found["hits"][0]["id"] == "red" and found["hits"][0]["values"]["caption"] == "a red square"
    assert page.read_text().count("data:image/png") == 4


def test_both_backends_answer_alike(cli: Cli, made: Path) -> None:
    pytest.importorskip("faiss")
    one, other = (cli("search", made, "text=grey", "--backend", each, "--json").stdout for each in ("torch", "faiss"))
    assert one == other and json.loads(one)["hits"]


def test_rows_are_appended_and_removed(cli: Cli, run: Path, made: Path, tmp_path: Path) -> None:
    more = tmp_path / "more.csv"
    more.write_text("id,caption\npink,a pink square\n")
    answered = cli("index", run, "--data", more, "--out", made, "--append", "--json")
    assert json.loads(answered.stdout) == {
        "index": str(made),
        "rows": 10,
        "added": 1,
        "streams": ["image", "text"],
        "skipped": [],
    }
    assert cli("unindex", made, "pink", "red").stdout == f"{made}: 2 rows removed, 8 left\n"
    assert Index.load(made).ids == [name for name in COLOURS if name != "red"]
    refused = cli("unindex", made, "pink")
    assert (refused.exit_code, refused.stderr) == (1, "error: No row of this index, which has 8, is called 'pink'\n")


def test_bad_samples_are_left_out_if_asked(cli: Cli, run: Path, squares: Path, tmp_path: Path) -> None:
    data = tmp_path / "squares.jsonl"
    lines = [{"id": "red", "image": str(squares.parent / "red.png")}, {"id": "bad", "image": "nowhere.png"}]
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    refused = cli("index", run, "--data", data, "--out", tmp_path / "index")
    assert refused.exit_code == 1 and "sample 'bad': 'image': there is no file" in refused.stderr
    assert not (tmp_path / "index").exists()
    answered = cli("index", run, "--data", data, "--out", tmp_path / "index", "--on-error", "skip", "--json")
    assert answered.exit_code == 0 and "left out: sample 'bad'" in answered.stderr
    told = json.loads(answered.stdout)
    assert told["rows"] == 1 and [each["id"] for each in told["skipped"]] == ["bad"]


def test_mistakes_are_told(cli: Cli, run: Path, squares: Path, made: Path, tmp_path: Path) -> None:
    mistakes = {
        f"{made} exists: add to it with --append": ["index", run, "--data", squares, "--out", made],
        "with --append they are those of the index": [
            *["index", run, "--data", squares, "--out", made, "--append", "--streams", "image"]
        ],
        "The id 'red' comes twice": ["index", run, "--data", squares, "--out", made, "--append"],
        "nowhere: there is no index. Make one": ["search", tmp_path / "nowhere", "text=red"],
        "'red': expected STREAM=VALUE with one of 'image', 'text'": ["search", made, "red"],
        "there is no saved pipeline here": ["search", made, "text=red", "--run", tmp_path],
        "is not there: name it with --run RUN": ["search", made, "text=red", "--run", tmp_path / "gone"],
        "no such stream": ["search", made, "sound=red"],
    }
    for message, arguments in mistakes.items():
        answered = cli(*arguments)
        assert answered.exit_code == 1 and message in answered.stderr, answered.stderr
    assert len(Index.load(made)) == 9


def test_a_run_that_was_moved_can_be_named(cli: Cli, run: Path, pipeline: Any, rows: list[Any], tmp_path: Path) -> None:
    folder = Index.build(pipeline, rows, run=tmp_path / "old").save(tmp_path / "index")
    refused = cli("search", folder, "text=red")
    assert f"The run that made {folder}, which was {tmp_path / 'old'}, is not there" in refused.stderr
    moved = shutil.copytree(run, tmp_path / "new")
    assert cli("search", folder, "text=a red square", "--run", moved).exit_code == 0
    nameless = Index.build(pipeline, rows).save(tmp_path / "nameless")
    assert "is not known: name it with --run RUN" in cli("search", nameless, "text=red").stderr


def test_classify_one_and_many(cli: Cli, run: Path, squares: Path) -> None:
    labels = [part for name in COLOURS for part in ("--label", name)]
    options = [*labels, "--template", "a {} square"]
    one = json.loads(cli("classify", run, f"image={squares.parent / 'green.png'}", *options).stdout)
    assert one["label"] == "green" and list(one["similarities"]) == list(COLOURS)
    many = json.loads(cli("classify", run, "--input", squares, *options, "--json").stdout)
    assert [each["label"] for each in many["results"]] == list(COLOURS) and many["skipped"] == []
    refused = cli("classify", run, "text=red", *options)
    assert "'text' is not what is classified: that is 'image', see --of" in refused.stderr
    assert "Give one sample as STREAM=VALUE, or a file" in cli("classify", run, *options).stderr
