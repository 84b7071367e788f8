from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmsdk.config.data import DataConfig
from mmsdk.data.samples import Row, as_row, content, digest, is_missing, read_rows
from mmsdk.data.splits import load_splits, splits_in_memory
from mmsdk.errors import DataError


def written(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def rows_of(folder: Path, name: str, text: str | bytes) -> list[Row]:
    return list(read_rows(written(folder, name, text)))


@pytest.mark.parametrize(
    "value", [None, "", " \t", float("nan"), np.float32("nan"), np.float64("nan"), [], {}, b"", ()]
)
def test_missing_values(value: Any) -> None:
    assert is_missing(value)


@pytest.mark.parametrize("value", [0, 0.0, False, "0", "nan", [None], {"a": None}, float("inf"), 10**400, np.zeros(3)])
def test_values_that_only_look_missing(value: Any) -> None:
    assert not is_missing(value)


def test_jsonl_rows_keep_values_ids_and_folder(tmp_path: Path) -> None:
    first, second = rows_of(tmp_path, "a.jsonl", '{"id": 7, "x": [1, 2], "y": null}\n\n{"x": "ü"}\n')
    assert (first.id, first.value("x"), first.value("y"), first.value("z")) == ("7", [1, 2], None, None)
    assert first.folder == tmp_path
    assert (second.id, second.value("x")) == ("a.jsonl:3", "ü")  # blank lines count as lines


def test_csv_rows_keep_values_ids_and_folder(tmp_path: Path) -> None:
    text = 'id,text,n\r\na,"two\nlines, one cell",1\r\n\r\n,"say ""hi""",\r\n'
    first, second = rows_of(tmp_path, "a.csv", text)
    assert dict(first.values) == {"id": "a", "text": "two\nlines, one cell", "n": "1"}
    assert (second.id, second.value("text"), second.value("n")) == ("a.csv:5", 'say "hi"', None)
    assert second.folder == tmp_path


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    assert rows_of(tmp_path, "a.csv", b"\xef\xbb\xbfid,x\n1,2\n")[0].id == "1"
    assert rows_of(tmp_path, "a.jsonl", b'\xef\xbb\xbf{"id": "1"}\n')[0].id == "1"


def test_line_separators_inside_of_json_text_do_not_end_a_line(tmp_path: Path) -> None:
    assert rows_of(tmp_path, "a.jsonl", '{"x": "a\u2028b\u0085c"}\n')[0].value("x") == "a\u2028b\u0085c"


def test_another_id_column(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "key,id\nk,i\n")
    assert [row.id for row in read_rows(path, "key")] == ["k"]


def test_a_relative_path_has_an_absolute_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, "a.csv", "x\n1\n")
    monkeypatch.chdir(tmp_path)
    assert next(read_rows(Path("a.csv"))).folder == tmp_path


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.jsonl", '{"x": 1}\n{"x": }\n', "a.jsonl:2: not JSON: Expecting value at column 7"),
        ("a.jsonl", "\n[1, 2]\n", 'a.jsonl:2: expected an object such as {"text": "..."}, found [1, 2]'),
        ("a.jsonl", "[" * 100_000, "a.jsonl:1: not JSON: "),
        ("a.jsonl", b"\xff\xfe", "a.jsonl: not UTF-8 at byte 0: save the file as UTF-8"),
        ("a.csv", "x,y\n1,2\n3\n", "a.csv:3: 1 cells, but the header has 2 columns"),
        ("a.csv", "x,y\n1,2,3,4\n", "a.csv:2: 4 cells, but the header has 2 columns"),
        ("a.csv", 'x,y\n1,"2"3\n', "a.csv:2: not CSV: "),
        ("a.csv", 'x,y\n1,2\n3,"4\n5,6\n', "a.csv:3: not CSV: "),  # where the quote begins, not where the file ends
        ("a.csv", "x,y,x\n1,2,3\n", "a.csv:1: there are two columns 'x'"),
        ("a.txt", "x\n", "a.txt: expected a file that ends in '.jsonl', '.csv'"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(tmp_path: Path, name: str, text: str | bytes, message: str) -> None:
    with pytest.raises(DataError) as error:
        rows_of(tmp_path, name, text)
    assert message in str(error.value)


def test_rows_before_a_bad_line_are_read(tmp_path: Path) -> None:
    rows = read_rows(written(tmp_path, "a.jsonl", '{"x": 1}\n{'))
    assert next(rows).value("x") == 1
    with pytest.raises(DataError, match=r"a\.jsonl:2"):
        next(rows)


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such file"):
        list(read_rows(tmp_path / "no.csv"))
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match="cannot be opened"):
        list(read_rows(tmp_path / "folder.csv"))


def test_several_columns_are_one_value() -> None:
    row = as_row({"a": 1, "b": None}, "place")
    assert row.value(["a", "b"]) == {"a": 1, "b": None}
    assert row.value(["b", "c"]) is None
    assert (row.id, row.folder) == ("place", None)


def test_a_sample_is_a_mapping() -> None:
    with pytest.raises(DataError, match="place: expected a mapping from column to value, found list"):
        as_row(["a"], "place")


def test_splits_by_a_column(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "x,part\n1,train\n2,7\n3,train\n")
    splits = load_splits(DataConfig(path=path, split_column="part"))
    assert {name: [row.value("x") for row in rows] for name, rows in splits.items()} == {
        "train": ["1", "3"],
        "7": ["2"],
    }


@pytest.mark.parametrize(
    ("text", "hint"), [("x,part\n1,\n", ""), ("x,part\n1,train\n", " Did you mean 'part'?")], ids=["blank", "typo"]
)
def test_a_row_without_a_split(tmp_path: Path, text: str, hint: str) -> None:
    column = "prt" if hint else "part"
    with pytest.raises(DataError) as error:
        load_splits(DataConfig(path=written(tmp_path, "a.csv", text), split_column=column))
    assert str(error.value).endswith(f"sample 'a.csv:2' has no value in the split column '{column}'.{hint}")


def test_a_file_alone_is_trained_on(tmp_path: Path) -> None:
    data = DataConfig(path=written(tmp_path, "a.csv", "x,split\n1,test\n"), train_split="all")
    assert list(load_splits(data)) == ["all"]


def test_a_file_per_split(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    data = DataConfig.model_validate(
        {"train": written(tmp_path, "a.csv", "x\n1\n"), "test": written(tmp_path / "b", "a.jsonl", '{"x": 2}')}
    )
    splits = load_splits(data)
    assert [splits["train"][0].folder, splits["test"][0].folder] == [tmp_path, tmp_path / "b"]


@pytest.mark.parametrize("text", ["", "\n\n", "x,y\n"])
def test_an_empty_file(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, "a.csv", text)
    for data in (DataConfig(path=path), DataConfig.model_validate({"train": path})):
        with pytest.raises(DataError, match=r"a\.csv: there are no samples in this file"):
            load_splits(data)


def held_out(folder: Path, rows: list[dict[str, Any]]) -> dict[str, list[Row]]:
    path = written(folder, "a.jsonl", "\n".join(map(json.dumps, rows)))
    return load_splits(DataConfig(path=path, holdout={"valid": 0.2, "test": 0.3}))


def test_holdout_keeps_the_fractions_and_every_row(tmp_path: Path) -> None:
    splits = held_out(tmp_path, [{"x": number} for number in range(2000)])
    shares = {name: len(rows) / 2000 for name, rows in splits.items()}
    assert shares == pytest.approx({"train": 0.5, "valid": 0.2, "test": 0.3}, abs=0.04)
    assert sorted(row.value("x") for rows in splits.values() for row in rows) == list(range(2000))


def test_holdout_depends_on_a_rows_content_alone(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"id": number, "x": number % 50, "y": None} for number in range(200)]
    first = held_out(tmp_path, rows)
    sides = [{row.value("x") for row in rows} for rows in first.values()]
    assert sum(map(len, sides)) == 50  # equal rows on one side, whatever their ids
    changed = [{"x": row["x"]} for row in reversed(rows)] + [{"x": "more"}]
    second = held_out(tmp_path, changed)
    for side, rows_ in zip(sides, second.values(), strict=True):
        assert {row.value("x") for row in rows_} - {"more"} == side


def test_samples_in_memory() -> None:
    lists = splits_in_memory({"train": [{"x": 1}], "test": [{"x": 2, "id": "a"}]}, None)
    assert [(name, row.id, row.folder) for name, rows in lists.items() for row in rows] == [
        ("train", "train[0]", None),
        ("test", "a", None),
    ]
    assert {name: len(rows) for name, rows in splits_in_memory([{"x": 1}, {"x": 2}], None).items()} == {"train": 2}
    divided = splits_in_memory([{"split": "a"}, {"split": "b"}], None)
    assert [row.id for row in divided["b"]] == ["sample[1]"]


def test_samples_in_memory_go_by_the_names_in_the_config(tmp_path: Path) -> None:
    data = DataConfig(path=tmp_path / "a.csv", split_column="part", train_split="fit", id_column="key")
    divided = splits_in_memory([{"part": "a", "key": "k"}], data)
    assert [row.id for row in divided["a"]] == ["k"]
    assert [row.id for row in splits_in_memory({"x": [{"key": "k"}]}, data)["x"]] == ["k"]
    assert list(splits_in_memory([{"x": 1}], data)) == ["fit"]


@pytest.mark.parametrize("second", [{"x": 2}, {"split": None}, {"split": float("nan")}])
def test_a_sample_in_memory_without_a_split_beside_others_that_have_one(second: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"sample 'sample\[1\]' has no value in the split column 'split'"):
        splits_in_memory([{"split": "test"}, second], None)


def test_content_leaves_out_what_is_missing_or_named() -> None:
    same = content(Row("1", {"x": 1, "y": None}), ())
    assert same == content(Row("2", {"x": 1}), ()) == content(Row("3", {"z": 5, "x": 1}), {"z"})
    assert same != content(Row("1", {"x": 2}), ())


def test_the_digest_tells_any_change() -> None:
    tensor, changed = torch.zeros(5000), torch.zeros(5000)
    changed[2500] = 1
    variants = [
        {"train": [Row("1", {"x": 1})]},
        {"test": [Row("1", {"x": 1})]},
        {"train": [Row("2", {"x": 1})]},
        {"train": [Row("1", {"x": 2})]},
        {"train": [Row("1", {"y": 1})]},
        {"train": [Row("1", {"x": 1}), Row("1", {"x": 1})]},
        *({"train": [Row("1", {"x": value})]} for value in (np.zeros(3), np.ones(3), b"a", b"b", tensor, changed)),
    ]
    assert len({digest(variant) for variant in variants}) == len(variants)
    assert digest(variants[0]) == digest({"train": [Row("1", {"x": 1}, Path("elsewhere"))]})
