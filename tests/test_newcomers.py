"""What people who were new here stumbled over."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mmsdk
from mmsdk.errors import ConfigError
from tests.programs import made_up


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose only head compares."""
    config = made_up.pipeline() | {"heads": {"match": made_up.MATCH}}
    config.pop("fusion")
    return mmsdk.train(config, made_up.samples(30), out=tmp_path_factory.mktemp("run"), show=False).run


def test_shards_are_named_from_where_one_stands(
    tmp_path: Path, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shards").mkdir()
    for number in range(2):
        rows = [{"word": "red", "n": [n]} for n in range(3)]
        (tmp_path / "shards" / f"toys-{number}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    monkeypatch.chdir(tmp_path)
    assert [path.name for path in mmsdk_shards("shards/toys-?.jsonl")] == ["toys-0.jsonl", "toys-1.jsonl"]
    assert cli("data", "shards/toys-*.jsonl").exit_code == 0
    refused = cli("data", "shards/none-*.jsonl")
    assert refused.exit_code == 1 and "no file matches" in refused.stderr


def mmsdk_shards(pattern: str) -> list[Path]:
    from mmsdk.data.shards import shards_of

    return shards_of(Path(pattern))


def test_a_head_that_compares_predicts_nothing_and_says_what_to_do(pairs: Path, cli: Callable[..., Any]) -> None:
    told = cli("predict", pairs, "text=red")
    assert told.exit_code == 1 and "No head of this pipeline makes predictions: it has 'match'" in told.stderr
    assert "mmsdk embed" in told.stderr
    with pytest.raises(ConfigError, match=r"'match' gives vectors: take Pipeline.embed"):
        mmsdk.Pipeline.load(pairs).predict({"text": "red"})


def test_training_ends_with_what_can_be_typed_next(tmp_path: Path, cli: Callable[..., Any]) -> None:
    config = made_up.pipeline() | {"heads": {"match": made_up.MATCH}, "data": {"path": "rows.jsonl"}}
    config.pop("fusion")
    (tmp_path / "pairs.yaml").write_text(json.dumps(config))
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, made_up.samples(30))))
    told = cli("train", tmp_path / "pairs.yaml", "--out", tmp_path / "run")
    assert f"use it: mmsdk embed {tmp_path / 'run'} --data FILE" in told.stdout, told.stderr


def test_a_run_without_embeddings_says_so(tmp_path: Path, cli: Callable[..., Any]) -> None:
    config = made_up.pipeline() | {"heads": {"colour": made_up.COLOUR}}
    run = mmsdk.train(config, made_up.samples(30), out=tmp_path / "run", show=False).run
    (tmp_path / "rows.jsonl").write_text(json.dumps({"text": "red"}))
    told = cli("embed", run, "--data", tmp_path / "rows.jsonl")
    assert told.exit_code == 1 and "No head of this pipeline gives embeddings: train one of `type: con" in told.stderr


def test_opening_a_pipeline_does_not_import_a_compiler(pairs: Path, python: Callable[..., Any]) -> None:
    """It takes as long as torch itself."""
    code = f"import mmsdk, sys; mmsdk.Pipeline.load({str(pairs)!r}); print('torch._dynamo' in sys.modules)"
    assert python("-c", code).stdout == "False\n"


def test_a_cell_that_is_no_number_is_told(tmp_path: Path, cli: Callable[..., Any]) -> None:
    """It would make a text of a whole column, which nothing reads."""
    cells = [str(3.5 * row) for row in range(100)]
    cells[17] = "NA"
    lines = [
        f"{cell},a {'red' if row % 3 else 'green'} thing no {row % 7},{'ab'[row % 2]}" for row, cell in enumerate(cells)
    ]
    (tmp_path / "toys.csv").write_text("\n".join(["width,title,kind", *lines]))
    said = "99 of 100 values are numbers, 'NA' is not: mend it, or leave such cells empty"
    looked = cli("data", tmp_path / "toys.csv")
    assert looked.exit_code == 1 and f"'width': {said}" in looked.stdout
    written = cli(
        "new", "classification", "--data", tmp_path / "toys.csv", "--target", "kind", "--out", tmp_path / "new"
    )
    assert f"width: {said}" in " ".join(written.stdout.split()), written.stderr


def test_what_is_beside_is_named(tmp_path: Path, pairs: Path, cli: Callable[..., Any]) -> None:
    (tmp_path / "toys.csv").write_text("a,b\n1,2\n")
    assert f"{tmp_path / 'toyz.csv'}: there is no such file. Did you mean 'toys.csv'?" in (
        cli("data", tmp_path / "toyz.csv").stderr
    )
    shutil.copytree(pairs, tmp_path / "shop" / "run")
    said = cli("evaluate", tmp_path / "shop").stderr
    assert f"give the folder of a finished run, such as {tmp_path / 'shop' / 'run'}" in said
