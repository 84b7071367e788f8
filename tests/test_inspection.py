from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from mmsdk.data.columns import describe
from mmsdk.data.inspection import inspect
from mmsdk.errors import ConfigError, DataError

CONFIG = """
streams:
  picture: {modality: {type: image, size: 8}, encoder: {type: cnn}, column: image}
  text: {modality: {type: text}, encoder: {type: bag}}
fusion: {type: concat}
heads:
  answer: {type: classification, target: answer}
"""


def table(folder: Path, rows: list[dict[str, Any]], name: str = "t.jsonl") -> Path:
    path = folder / name
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def config(folder: Path, data: str, text: str = CONFIG) -> Path:
    path = folder / "pipeline.yaml"
    path.write_text(f"{text}data: {data}\n")
    return path


def picture(folder: Path, name: str, shade: int = 0) -> str:
    Image.effect_noise((32, 32), 10 + shade).save(folder / name)
    return name


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2.5, 3], "number"),
        (["1", "-2.5", "1e3"], "number"),
        (["nan", "1", "1"], "number"),
        ([1, 2, 1, 2, 1], "category"),
        (["1", "2", "1", "2"], "category"),
        (["yes", "no", "yes", "no", "no"], "category"),
        (["what is that shape here?"] * 40, "text"),
        ([f"word {number}" for number in range(30)], "text"),
        ([True, False], "boolean"),
        (["a/b.PNG", "c.jpeg", "oops"], "image file"),
        (["a.npy", "a.safetensors"], "array file"),
        (["a.wav"], "audio file"),
        (["a.mp4", "", None], "video file"),
        (["png", ".png", "no.picture"], "text"),
        (["http://host/a.png"], "url"),
        ([[1.0, 2], [3]], "list of numbers"),
        ([["a"], ["b", "c"]], "list of texts"),
        ([[[1], [2]]], "list of lists"),
        ([[1, "a"]], "list"),
        ([{"a": 1}], "mapping"),
        (["a", 1], "mixed"),
        ([None, ""], "empty"),
    ],
)
def test_kinds_of_columns(values: list[Any], kind: str) -> None:
    assert describe(values)["kind"] == kind


def test_missing_and_different_values() -> None:
    assert describe(["a", None, "a", "b"]) == {"kind": "text", "missing": 0.25, "distinct": 2}
    assert describe([[1, 2], []]) == {"kind": "list of numbers", "missing": 0.5}


def test_a_table_at_a_glance(tmp_path: Path) -> None:
    rows = [
        {"id": n, "n": n / 3, "answer": "yes" if n % 4 else "no", "split": "test" if n > 7 else "train"}
        for n in range(12)
    ]
    report = inspect(table(tmp_path, rows))
    assert report["rows"] == 12 and report["splits"] == {"train": 8, "test": 4}
    assert {name: about["kind"] for name, about in report["columns"].items()} == {
        "id": "id",
        "n": "number",
        "answer": "category",
        "split": "split",
    }
    assert report["labels"] == {"answer": {"train": {"yes": 6, "no": 2}, "test": {"yes": 3, "no": 1}}}
    assert report["problems"] == [] and report["leaks"] == {"rows": [], "files": {}}
    assert "streams" not in report
    json.dumps(report)


def test_another_split_column_and_label(tmp_path: Path) -> None:
    path = table(tmp_path, [{"split": "a", "part": "x", "tags": ["r", 3]}, {"split": "b", "part": "y", "tags": ["r"]}])
    report = inspect(path, split_column="part", label="tags")
    assert report["splits"] == {"x": 1, "y": 1}
    assert report["labels"] == {"tags": {"x": {"r": 1, "3": 1}, "y": {"r": 1}}}


def test_no_split_column(tmp_path: Path) -> None:
    assert inspect(table(tmp_path, [{"x": 1}, {"x": 2}]))["splits"] == {"train": 2}


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for name in ("good.png", "cut.png", "good.jpg", "cut.jpg"):
        picture(tmp_path, name, len(name) + ord(name[0]))
    np.save(tmp_path / "good.npy", np.zeros((3, 4)))
    np.save(tmp_path / "cut.npy", np.zeros((3, 4)))
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    save_file({"x": np.zeros(30)}, tmp_path / "good.safetensors")
    save_file({"x": np.zeros(30)}, tmp_path / "cut.safetensors")
    (tmp_path / "empty.wav").touch()
    (tmp_path / "good.wav").write_bytes(b"RIFF")
    (tmp_path / "text.png").write_text("no picture")
    for name in ("cut.png", "cut.jpg", "cut.npy", "cut.safetensors"):
        cut(tmp_path / name)
    images = ["good.png", "good.jpg", "cut.png", "cut.jpg", "text.png", "no.png", "x\0.png", None]
    arrays = ["good.npy", "good.safetensors", "cut.npy", "objects.npy", "cut.safetensors", [1, 2], None, None]
    sounds = ["good.wav", str(tmp_path / "good.wav"), "empty.wav", *[None] * 5]
    values = zip(images, arrays, sounds, strict=True)
    rows = [{"id": f"s{n}", "image": image, "f": array, "wav": sound} for n, (image, array, sound) in enumerate(values)]
    found = inspect(table(tmp_path, rows))
    bad = {(each["sample"], each["column"]) for each in found["unreadable"]["examples"]}
    assert bad == {
        *(("s2", "image"), ("s3", "image"), ("s4", "image"), ("s5", "image"), ("s6", "image")),
        *(("s2", "f"), ("s3", "f"), ("s4", "f")),
        ("s2", "wav"),
    }
    assert found["unreadable"]["count"] == 9 and found["problems"] == ["9 values cannot be read"]
    reasons = {each["sample"]: each["reason"] for each in found["unreadable"]["examples"] if each["column"] == "image"}
    assert reasons["s5"] == f"there is no file '{tmp_path / 'no.png'}'"
    assert "truncated" in reasons["s2"] and "truncated" in reasons["s3"]


def test_a_file_that_many_samples_name_is_told_once(tmp_path: Path) -> None:
    found = inspect(table(tmp_path, [{"id": n, "image": f"{n % 25}.png"} for n in range(100)]))["unreadable"]
    assert found["count"] == 100 and found["tried"] == 25 and len(found["examples"]) == 20
    assert found["examples"][0]["sample"] == "0" and found["examples"][0]["samples"] == 4


def test_duplicates_within_a_split_are_no_problem(tmp_path: Path) -> None:
    rows = [{"id": "a", "x": 1}, {"id": "b", "x": 1, "y": None}, {"id": "b", "x": 2}]
    report = inspect(table(tmp_path, rows))
    assert report["duplicates"] == {
        "rows": {"count": 1, "examples": [["a", "b"]]},
        "ids": {"count": 1, "examples": [["b"]]},
    }
    assert report["problems"] == []


def leaks(folder: Path, *splits: str) -> list[list[str]]:
    """The pairs of splits that are told to share a row, where all of them do."""
    rows = [{"id": f"{split}{n}", "x": n, "split": split} for split in splits for n in range(3)]
    return [leak["splits"] for leak in inspect(table(folder, rows))["leaks"]["rows"]]


def test_what_is_learned_from_is_held_against_what_judges(tmp_path: Path) -> None:
    pairs = leaks(tmp_path, "test", "valid", "other", "train")
    assert pairs == [["train", "valid"], ["train", "test"], ["train", "other"], ["valid", "test"], ["valid", "other"]]
    assert leaks(tmp_path, "a", "b") == [["a", "b"]]


def test_equal_rows_across_splits(tmp_path: Path) -> None:
    rows = [{"id": n, "x": n % 8, "split": "train" if n < 6 else "test"} for n in range(10)]
    report = inspect(table(tmp_path, rows))
    leak = {"splits": ["train", "test"], "count": 2, "of": 4, "examples": [["0", "8"], ["1", "9"]]}
    assert report["leaks"]["rows"] == [leak]
    assert report["problems"] == [
        "2 of 4 different rows in 'test' are in 'train', too, such as 0 = 8: take them out of one, or name a column "
        "that says which split a row belongs to"
    ]


def test_files_in_two_splits_are_leaks_under_any_name(tmp_path: Path) -> None:
    for place, name in enumerate(("a.png", "b.png", "c.png")):
        picture(tmp_path, name, 20 * place)
    (tmp_path / "copy.png").write_bytes((tmp_path / "a.png").read_bytes())
    images = {"train": ["a.png", "b.png"], "test": ["c.png", "copy.png", "../" + tmp_path.name + "/b.png"]}
    rows = [{"image": name, "split": split, "n": n} for split, names in images.items() for n, name in enumerate(names)]
    report = inspect(table(tmp_path, rows))
    (leak,) = report["leaks"]["files"]["image"]
    assert (leak["count"], leak["of"], leak["splits"]) == (2, 3, ["train", "test"])
    assert leak["examples"] == [["a.png", "copy.png"], ["b.png", images["test"][2]]]
    assert len(report["problems"]) == 1 and "files of 'image' in 'test'" in report["problems"][0]


def test_texts_in_two_splits_are_told_but_no_problem(tmp_path: Path) -> None:
    texts = {"train": ["what is it?", "where is it?"], "test": ["what is it?", "why?"]}
    rows = [
        {"q": text, "n": n, "split": split} for split, own in texts.items() for n, text in enumerate(own, len(split))
    ]
    report = inspect(table(tmp_path, rows))
    (shared,) = report["shared"]["q"]
    assert (shared["count"], shared["of"], report["problems"]) == (1, 2, [])


def test_ids_in_two_splits_are_told_but_no_problem(tmp_path: Path) -> None:
    rows = [{"id": n % 3, "x": n, "split": "train" if n < 3 else "test"} for n in range(5)]
    report = inspect(table(tmp_path, rows))
    assert [(each["count"], each["of"]) for each in report["shared"]["id"]] == [(2, 2)]
    assert report["duplicates"]["ids"]["count"] == 0 and report["problems"] == []


def test_a_free_text_called_target_is_no_label(tmp_path: Path) -> None:
    assert inspect(table(tmp_path, [{"target": f"text {n}"} for n in range(9)]))["labels"] == {}


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("t.jsonl", {"label": "txt"}, "there is no column 'txt'. Did you mean 'text'?"),
        ("t.jsonl", {"split_column": "prt"}, "no value in the split column 'prt'. Did you mean 'part'?"),
        ("t.txt", {}, "expected a table that ends in '.jsonl', '.csv', '.parquet', '.arrow', '.feather', '.tar', or"),
        ("no.csv", {}, "there is no such file"),
    ],
)
def test_what_cannot_be_looked_at(tmp_path: Path, name: str, arguments: dict[str, str], message: str) -> None:
    table(tmp_path, [{"text": "a", "part": "b"}])
    with pytest.raises(DataError) as error:
        inspect(tmp_path / name, **arguments)
    assert message in str(error.value)


def good_rows(folder: Path, count: int = 4) -> list[dict[str, Any]]:
    return [
        {
            "id": f"{split}{n}",
            "image": picture(folder, f"{split}{n}.png", n + 50 * (split == "test")),
            "text": f"the {n}",
            "answer": ["yes", "no"][n % 2],
            "split": split,
        }
        for split in ("train", "test")
        for n in range(count)
    ]


def test_a_config_reads_with_its_modalities(tmp_path: Path) -> None:
    rows = good_rows(tmp_path)
    path = config(tmp_path, "{path: t.jsonl, split_column: split}")
    table(tmp_path, rows)
    clean = inspect(path)
    assert clean["problems"] == []
    assert clean["labels"] == {"answer": {split: {"yes": 2, "no": 2} for split in ("train", "test")}}
    rows[4] |= {"image": 5, "answer": "never seen"}
    rows[5] |= {"image": None, "text": ["no", "text"], "unread": "no.png"}
    table(tmp_path, rows)
    report = inspect(path)
    assert {(each["sample"], each["column"]) for each in report["unreadable"]["examples"]} == {
        ("test0", "picture"),
        ("test0", "answer"),
        ("test1", "text"),
    }
    assert report["streams"]["picture"] == {"column": "image", "absent": {"train": 0, "test": 0.25}}
    assert "never seen in training" in str(report["unreadable"])


def test_a_column_that_is_nowhere(tmp_path: Path) -> None:
    rows = [{**row, "image": "no.png"} for row in good_rows(tmp_path)]
    table(tmp_path, rows)
    report = inspect(
        config(
            tmp_path, "{path: t.jsonl, split_column: split}", CONFIG.replace("{type: bag}", "{type: bag}, column: txt")
        )
    )
    assert report["problems"][0] == "'text': no training row has a value in column 'txt'. Did you mean 'text'?"
    assert report["unreadable"]["count"] == 8  # what needs no fitting is tried nevertheless
    assert report["streams"]["text"]["absent"] == {"train": 1, "test": 1}


def test_nothing_to_train_on_and_what_cannot_be_fitted(tmp_path: Path) -> None:
    rows = good_rows(tmp_path)
    table(tmp_path, rows)
    report = inspect(config(tmp_path, "{path: t.jsonl, split_column: split, train_split: fit}"))
    assert report["problems"][0] == "nothing to train on: no rows in split 'fit'; there is 'train', 'test'"
    table(tmp_path, [row | {"answer": "yes"} for row in rows])
    report = inspect(config(tmp_path, "{path: t.jsonl, split_column: split}"))
    assert len(report["problems"]) == 1 and "at least 2 different labels" in report["problems"][0]


def test_stages_with_data_of_their_own(tmp_path: Path) -> None:
    rows = good_rows(tmp_path)
    table(tmp_path, rows[:4], "main.jsonl")
    table(tmp_path, rows[2:], "first.jsonl")
    table(tmp_path, rows[4:], "test.jsonl")
    stages = "stages: [{name: one, data: {train: first.jsonl}}, {name: two}, {name: three}]\n"
    report = inspect(config(tmp_path, "{train: main.jsonl, test: test.jsonl}", CONFIG + stages))
    assert report["splits"] == {"one/train": 6, "two/train": 4, "two/test": 4}
    assert [leak["splits"] for leak in report["leaks"]["rows"]] == [["one/train", "two/test"]]


def test_configs_that_cannot_be_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(CONFIG)
    with pytest.raises(DataError, match="add 'data:"):
        inspect(path)
    with pytest.raises(ConfigError, match="--split-column is for tables"):
        inspect(path, split_column="split")


def test_a_table_needs_no_torch(tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", np.zeros(3))
    save_file({"x": np.zeros(3)}, tmp_path / "g.safetensors")
    rows = [{"image": picture(tmp_path, "a.png"), "f": name} for name in ("f.npy", "g.safetensors")]
    code = (
        "import sys; from pathlib import Path; from mmsdk.data.inspection import inspect\n"
        f"assert inspect(Path({str(table(tmp_path, rows))!r}))['problems'] == []\n"
        "assert 'torch' not in sys.modules and 'accelerate' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_values_that_reach_their_limit_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import mmsdk
    from mmsdk.cli.data import command

    rows = [{"text": "red " * (3 + 4 * (place % 3 == 0)), "answer": "ab"[place % 2]} for place in range(9)]
    given = config(tmp_path, str(table(tmp_path, rows)), CONFIG.replace("type: text", "type: text, max_length: 5"))
    given.write_text(given.read_text().replace("  picture:", "  #picture:"))
    (found,) = inspect(given)["filled"]
    assert (found["name"], found["reached"], found["of"], found["max_length"]) == ("text", 3, 9, 5)
    command(given)
    line = "'text': 3 of 9 values reach max_length 5, and lose what they have beyond it: raise it if that matters"
    assert line in capsys.readouterr().out
    mmsdk.train(given, out=tmp_path / "run", overrides=["training.epochs=1"], show=False)
    assert line in capsys.readouterr().err
    given.write_text(given.read_text().replace("max_length: 5", "max_length: 8"))
    assert inspect(given)["filled"] == []
