"""A file in pieces has the rows of the whole file."""

from __future__ import annotations

import codecs
import json
from pathlib import Path

import pytest

from mmsdk.data.pieces import cut, read_piece
from mmsdk.data.samples import read_rows
from mmsdk.errors import DataError

JSONL = "".join(
    json.dumps({"text": f"é {number}"}, ensure_ascii=False) + "\n" * (1 + number % 3) for number in range(11)
)
CSV = 'text,"n"\r\n' + "".join(
    f'"a ""line""\nand é {number}",{number}\r\n' + "\r\n" * (number % 2) for number in range(11)
)


@pytest.fixture(params=["jsonl", "csv", "jsonl, marked", "csv, marked"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    kind, _, marked = request.param.partition(", ")
    path = tmp_path / f"table.{kind}"
    text = (CSV if kind == "csv" else "\n" + JSONL).encode()
    path.write_bytes((codecs.BOM_UTF8 if marked else b"") + text)
    return path


@pytest.mark.parametrize("rows", [1, 2, 5, 11, 100])
@pytest.mark.parametrize("skip", [0, 1, 4, 11, 20])
def test_pieces_have_all_rows_once(table: Path, rows: int, skip: int) -> None:
    whole = list(read_rows(table))
    assert len(whole) == 11
    pieces = list(cut(table, rows, skip))
    assert [piece.row for piece in pieces] == list(range(skip, 11, rows))
    parts = [read_piece(table, piece) for piece in pieces]
    assert all(len(part) == rows for part in parts[:-1])
    assert [row for part in parts for row in part] == whole[skip:]


def test_what_cannot_be_read_is_told_with_its_place_in_the_whole_file(tmp_path: Path) -> None:
    table = tmp_path / "table.jsonl"
    table.write_text('{"a": 1}\n\n{"a": 2}\n{"a": \n{"a": 4}\n')
    one, other = cut(table, 2)
    assert len(read_piece(table, one)) == 2
    with pytest.raises(DataError, match=r"table.jsonl:4: not JSON"):
        read_piece(table, other)
    table = tmp_path / "table.csv"
    table.write_text("a,b\n1,2\n3,4\n5\n")
    with pytest.raises(DataError, match=r"table.csv:4: 1 cells, but the header has 2 columns"):
        read_piece(table, list(cut(table, 1))[2])
    table.write_text('a,b\n1,2\n3,"4\n5\n')
    with pytest.raises(DataError, match=r"table.csv:3: not CSV"):
        list(cut(table, 1))


@pytest.mark.parametrize(("name", "content", "said"), [
    ("a.txt", b"", "expected a file that ends in"),
    ("a.jsonl", b'{"a": "\xff"}\n', "not UTF-8"),
    ("a.csv", b"a;b\n1;2\n", "separate columns by commas"),
    ("a.csv", b"a,a\n1,2\n", "two columns 'a'"),
])  # fmt: skip
def test_files_that_cannot_be_cut(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said):
        list(cut(tmp_path / name, 2))
    with pytest.raises(DataError, match="there is no such file"):
        list(cut(tmp_path / "none.csv", 2))
