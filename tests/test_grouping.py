"""Rows that are one sample together: how they are joined, and every command with such a pipeline."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mmsdk
from mmsdk.config.data import DataConfig, GroupBy
from mmsdk.data.grouping import as_group, grouped, grouped_splits, load_samples, places
from mmsdk.data.samples import Row
from mmsdk.errors import ConfigError, DataError

TALK = GroupBy(key="talk", order="position")
EACH = {"type": "each", "of": {"type": "bag", "width": 8}, "context": {"type": "rnn", "width": 8}}
CONFIG: dict[str, Any] = {
    "group_by": {"key": "talk", "order": "position"},
    "streams": {"text": {"modality": {"type": "each", "of": "text"}, "encoder": EACH}},
    "heads": {"mood": {"type": "token_classification", "target": "mood", "reads": ["text"]}},
    "training": {"epochs": 12, "batch_size": 8, "learning_rate": 0.02, "device": "cpu", "threads": 1},
}


def row(name: str, talk: object, position: object = 0, **values: Any) -> Row:
    return Row(name, {"talk": talk, "position": position, **values})


def talks(numbers: range, seed: int = 0) -> list[dict[str, Any]]:
    """Utterances of talks, out of order; every tenth lacks its text, every tenth its label."""
    drawn = random.Random(seed)
    rows: list[dict[str, Any]] = []
    for talk in numbers:
        for position in range(3 + talk % 4):
            mood = drawn.choice(["glad", "sad"])
            text: str | None = "good thing" if mood == "glad" else "bad thing"
            count = len(rows)
            text, label = (None if count % 10 == 3 else text), (None if count % 10 == 7 else mood)
            rows.append({"id": f"{talk}.{position}", "talk": talk, "position": position, "text": text, "mood": label})
    drawn.shuffle(rows)
    return rows


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_columns_become_lists_in_order() -> None:
    rows = [row("a", 1, 10, x="late"), row("b", "2", 1, x=""), row("c", 1, 9, y=3), row("d", 1.0, 2)]
    first, second, third = grouped(rows, TALK)
    assert (first.id, second.id, third.id) == ("1", "2", "1.0")
    assert first.values == {"talk": [1, 1], "position": [9, 10], "x": [None, "late"], "y": [3, None]}
    assert "x" not in second.values  # nothing but missing values: the stream is absent
    assert places(rows, TALK) == {"1": [2, 0], "2": [1], "1.0": [3]}
    assert grouped(rows, None) == rows


@pytest.mark.parametrize(
    ("positions", "expected"),
    [
        (["10", "9", "1e1"], "bac"),
        (["2020-02-01", "2020-01-31", "x"], "bac"),
        ([2, 2, 1.5], "cab"),
        ([-1, 0, 0], "abc"),
    ],
)
def test_order_is_that_of_numbers_or_of_texts(positions: list[object], expected: str) -> None:
    rows = [row(letter, 1, position, letter=letter) for letter, position in zip("abc", positions, strict=True)]
    assert "".join(grouped(rows, TALK)[0].values["letter"]) == expected
    unordered = grouped(rows, GroupBy(key="talk"))
    assert unordered[0].values["letter"] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([Row("a", {"tolk": 1})], r"sample 'a' has no value in column 'talk' \(group_by.key\). Did you mean 'tolk'\?"),
        ([row("a", 1), row("b", "  ")], "sample 'b' has no value in column 'talk'"),
        ([row("a", [1])], r"sample 'a': group_by.key: expected text or a number in column 'talk', got \[1\]"),
        ([row("a", 1, None)], r"sample 'a' has no value in column 'position' \(group_by.order\)"),
        ([row("a", 1, 1), row("b", 2, "two")], "sample 'b': .* cannot sort by column 'position'.* got 'two'"),
        ([row("a", 1, 1), row("b", 2, [2])], r"sample 'b': .* got \[2\]"),
        ([row("a", 1, True), row("b", 2, 1)], "sample 'a': .* got True"),
        ([row(f"r{n}", 7, n) for n in range(10_000)], r"group '7' of column 'talk' has 10,000 rows, the limit is 512"),
    ],
)
def test_rows_that_cannot_be_grouped(rows: list[Row], message: str) -> None:
    with pytest.raises(DataError, match=message):
        grouped(rows, TALK)


def test_a_group_stands_in_one_split(tmp_path: Path) -> None:
    splits = {"train": [row("a", 1), row("b", 2)], "test": [row("c", 3), row("d", "2")]}
    with pytest.raises(DataError, match=r"group '2' .* in two splits: 'b' is in 'train', 'd' in 'test'"):
        grouped_splits(splits, TALK)
    path = written(tmp_path / "t.jsonl", talks(range(40)))
    held_out = load_samples(DataConfig(path=path, holdout={"valid": 0.2, "test": 0.2}), TALK)
    names = [each.id for rows in held_out.values() for each in rows]
    assert sorted(names, key=int) == [str(number) for number in range(40)]
    assert all(held_out.values())
    more = written(tmp_path / "more.jsonl", [*talks(range(40)), {"talk": 3, "position": 99, "text": "later"}])
    again = load_samples(DataConfig(path=more, holdout={"valid": 0.2, "test": 0.2}), TALK)
    assert {name: [each.id for each in rows] for name, rows in again.items()} == {
        name: [each.id for each in rows] for name, rows in held_out.items()
    }  # a talk that grows stays where it is


def test_group_by_stands_beside_data() -> None:
    with pytest.raises(ConfigError, match=r"data.group_by: 'group_by' stands beside 'data:', not in it"):
        mmsdk.load_config(CONFIG | {"data": {"path": "t.csv", "group_by": {"key": "talk"}}})
    with pytest.raises(ConfigError, match=r"Unknown key 'ordr'. Did you mean 'order'"):
        mmsdk.load_config(CONFIG | {"group_by": {"key": "talk", "ordr": "position"}})


def test_single_values_are_told_by_the_config() -> None:
    text = {"modality": "text", "encoder": "bag"}
    with pytest.raises(
        ConfigError, match=r"streams.text.modality: .* 'text' reads single values: \{type: each, of: text\}"
    ):
        mmsdk.load_config(CONFIG | {"streams": {"text": text}})
    head = {"type": "classification", "target": "mood", "reads": ["text"]}
    with pytest.raises(ConfigError, match=r"heads.mood.target: .* 'label' is a single value: use head 'token_class"):
        mmsdk.load_config(CONFIG | {"heads": {"mood": head}})
    several = {"type": "multilabel", "target": "mood", "reads": ["text"]}  # the labels of all rows of a group
    assert mmsdk.load_config(CONFIG | {"heads": {"mood": several}}).group_by is not None


def test_lists_of_a_sample_keep_step() -> None:
    sample = Row("s", {"text": ["a", None], "audio": [None, None], "label": ["x"]})
    assert as_group(sample, ["text", "audio"]).values == {"text": ["a", None], "label": ["x"]}
    with pytest.raises(DataError, match="s: 'text' has 2 values, 'label' has 1: give one for each step, None where"):
        as_group(sample, ["text", "label"])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> mmsdk.Trained:
    folder = tmp_path_factory.mktemp("talks")
    files = {"train": written(folder / "train.jsonl", talks(range(24)))}
    files["test"] = written(folder / "test.jsonl", talks(range(24, 34), seed=1))
    return mmsdk.train(CONFIG | {"data": files}, out=folder / "run", show=False)


def test_utterances_are_learned_and_counted(trained: mmsdk.Trained) -> None:
    assert trained.metrics["test/mood/accuracy"] == 1.0
    rows = talks(range(24, 34), seed=1)
    there = [each for each in rows if each["text"] and each["mood"]]
    there[0]["mood"] = "sad" if there[0]["mood"] == "glad" else "glad"
    found = mmsdk.evaluate(trained.pipeline, {"test": rows})
    assert found["test/mood/accuracy"] == pytest.approx(1 - 1 / len(there))  # of utterances, not of talks


def test_the_same_rows_from_python(tmp_path: Path) -> None:
    data = {"train": talks(range(6)), "test": talks(range(6, 9))}
    config = CONFIG | {"training": CONFIG["training"] | {"epochs": 1}}
    assert "test/mood/accuracy" in mmsdk.train(config, data, out=tmp_path / "run", show=False).metrics


def test_predict_gives_each_row_its_own(trained: mmsdk.Trained, tmp_path: Path, cli: Callable[..., Any]) -> None:
    rows = talks(range(24, 34), seed=1)
    path = written(tmp_path / "rows.jsonl", rows)
    answer = cli("predict", trained.run, "--input", path)
    results = [json.loads(line) for line in answer.stdout.splitlines()]
    assert [each["id"] for each in results] == [each["id"] for each in rows]  # in the file's order
    for result, asked in zip(results, rows, strict=True):
        if asked["text"] is None:
            assert "every stream is absent in this row of group" in result["error"]
        else:
            assert result["mood"]["value"] == ("glad" if asked["text"] == "good thing" else "sad")
            assert sum(result["mood"]["scores"].values()) == pytest.approx(1, abs=1e-5)
            assert set(result["mood"]) == {"value", "confidence", "scores"}
    assert answer.exit_code == 1  # some rows had nothing to predict from


def test_predict_takes_lists(trained: mmsdk.Trained) -> None:
    texts = ["good thing", None, "bad thing"]
    (result,) = trained.pipeline.predict({"text": texts})
    assert result["mood"].value == ["glad", None, "sad"]
    assert result["mood"].steps is not None and result["mood"].steps[1] is None
    alone, single = trained.pipeline.predict([{"text": texts[:1]}, {"text": "good thing"}])
    assert alone["mood"].value == ["glad"]
    assert single.error is not None and "expected a list with a value for each step, got 'good thing'" in single.error
    (nothing,) = trained.pipeline.predict({"text": [None, None]})
    assert nothing.error is not None and "every stream is absent" in nothing.error


def test_a_saved_pipeline_still_groups(trained: mmsdk.Trained, tmp_path: Path, cli: Callable[..., Any]) -> None:
    trained.pipeline.save(tmp_path / "saved")
    path = written(tmp_path / "rows.jsonl", talks(range(24, 34), seed=1))
    answer = cli("evaluate", tmp_path / "saved", "--data", path, "--json")
    assert json.loads(answer.stdout)["metrics"]["rows/mood/accuracy"] == 1.0
    bad = written(tmp_path / "bad.jsonl", [{"text": "good thing", "position": 1}])
    answer = cli("predict", tmp_path / "saved", "--input", bad)
    assert answer.exit_code != 0 and "no value in column 'talk'" in answer.stderr


def test_data_tells_of_groups(tmp_path: Path, cli: Callable[..., Any]) -> None:
    rows = [each | {"split": "train" if each["talk"] < 20 else "test"} for each in talks(range(30))]
    config = CONFIG | {"data": {"path": str(written(tmp_path / "t.jsonl", rows)), "split_column": "split"}}
    (tmp_path / "talk.yaml").write_text(json.dumps(config))
    answer = cli("data", tmp_path / "talk.yaml")
    assert answer.exit_code == 0, answer.stdout
    lines = [" ".join(line.split()) for line in answer.stdout.splitlines()]
    assert "groups by column 'talk', of 3 to 6 rows" in lines and "train 20" in lines and "test 10" in lines
    rows[0]["split"] = "valid"
    written(tmp_path / "t.jsonl", rows)
    answer = cli("data", tmp_path / "talk.yaml")
    assert answer.exit_code != 0 and "has rows in two splits" in answer.stderr
