"""Tar shards: samples by their index, and nothing that is truncated, damaged or able to run."""

from __future__ import annotations

import gzip
import io
import pickle  # noqa: TID251
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import mmsdk
from mmsdk.config.data import DataConfig
from mmsdk.data.inspection import inspect
from mmsdk.data.samples import digest, open_rows, read_rows
from mmsdk.data.splits import load_splits
from mmsdk.data.tables import Joined, Table
from mmsdk.data.tar import END, TarTable
from mmsdk.errors import DataError, DecodeError
from tests import shards
from tests.programs import made_up

ROWS = made_up.samples(20)
Write = Callable[[tarfile.TarFile], object]


def written(path: Path, write: Write, **options: int) -> Path:
    with tarfile.open(path, "w", **options) as tar:  # type: ignore[call-overload]
        write(tar)
    return path


def holding(path: Path, **members: bytes) -> Path:
    """A shard of one sample; `_` in a name stands for a dot."""
    return written(path, lambda tar: [shards.add(tar, f"k.{n.replace('_', '.')}", each) for n, each in members.items()])


def test_samples_by_place(tmp_path: Path) -> None:
    table = open_rows(shards.in_shards(tmp_path, ROWS, ".tar"))
    assert isinstance(table, Joined) and len(table) == 20
    for mine, other in zip(table, ROWS, strict=True):
        assert mine.id == other["id"] and mine.folder == tmp_path
        assert dict(mine.values) == {name: value for name, value in other.items() if name != "id" and value is not None}
    assert table[7].values == table[-13].values and "id" not in table[7].values
    again = pickle.loads(pickle.dumps(table))  # noqa: S301
    assert [row.values for row in again] == [row.values for row in table]
    assert [row.id for row in read_rows(tmp_path / "rows-*.tar")] == [row["id"] for row in ROWS]


def test_what_members_hold(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.arange(3.0))
    path = holding(
        tmp_path / "a.tar",
        txt="größer\n".encode(),
        cls=b"3",
        json=b'{"answer": "yes", "votes": {"a": 1}}',
        PNG=b"picture",
        left_jpg=b"other",
        meta_json=b"[1]",
        npy=buffer.getvalue(),
        empty_bin=b"",
    )
    (row,) = open_rows(path)
    values = dict(row.values)
    assert values.pop("npy").tolist() == [0, 1, 2]
    assert values == {
        "txt": "größer",
        "cls": "3",
        "answer": "yes",
        "votes": {"a": 1},
        "png": b"picture",
        "left.jpg": b"other",
        "meta.json": [1],
        "empty.bin": b"",
    }
    cells = row.values
    assert isinstance(cells, mmsdk.data.tables.Cells)  # type: ignore[attr-defined]
    assert [name for name in values if cells.holds_bytes(name)] == ["png", "left.jpg"]
    assert row.value("empty.bin") is None and row.value("none") is None


def test_long_names_folders_and_other_formats(tmp_path: Path) -> None:
    name = f"{'deep/' * 40}sample.é"
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):

        def write(tar: tarfile.TarFile) -> None:
            folder = tarfile.TarInfo("deep")
            folder.type = tarfile.DIRTYPE
            tar.addfile(folder)
            shards.add(tar, f"{name}.txt", b"a")
            shards.add(tar, "deep/b.txt", b"b")

        rows = list(open_rows(written(tmp_path / f"{form}.tar", write, format=form)))
        assert [(row.id, row.value("é.txt") or row.value("txt")) for row in rows] == [(name[:-2], "a"), ("deep/b", "b")]


def test_splits_and_fingerprints(tmp_path: Path) -> None:
    rows = [row | {"part": "test" if place % 4 == 0 else "train"} for place, row in enumerate(ROWS)]
    text = load_splits(DataConfig(path=shards.as_jsonl(tmp_path / "r.jsonl", rows), split_column="part"))
    tar = load_splits(DataConfig(path=shards.as_tar(tmp_path / "r.tar", rows), split_column="part"))
    assert all(isinstance(split, Table) for split in tar.values())
    assert {name: [row.id for row in own] for name, own in tar.items()} == {
        name: [row.id for row in own] for name, own in text.items()
    }
    first = digest(tar)
    assert digest(load_splits(DataConfig(path=tmp_path / "r.tar", split_column="part"))) == first
    shards.as_tar(tmp_path / "r.tar", [rows[0] | {"text": "other"}, *rows[1:]])
    assert digest(load_splits(DataConfig(path=tmp_path / "r.tar", split_column="part"))) != first
    assert inspect(tmp_path / "r.tar", "part")["problems"] == []


def test_a_shard_that_is_cut_off_anywhere_is_an_error(tmp_path: Path) -> None:
    """After every block of 512 bytes, and in the middle of each: never a short epoch."""
    whole = shards.as_tar(tmp_path / "whole.tar", ROWS[:3]).read_bytes()
    with tarfile.open(tmp_path / "whole.tar") as tar:
        members = tar.getmembers()
        end = tar.offset
    shard = tmp_path / "cut.tar"
    for size in range(0, end + END, 256):
        shard.write_bytes(whole[:size])
        with pytest.raises(DataError, match=r"cut\.tar: truncated or damaged after") as caught:
            TarTable(shard)
        if size >= members[-1].offset_data:
            assert members[-1].name in str(caught.value)
    shard.write_bytes(whole[: end + END])
    assert len(TarTable(shard)) == 3


def test_a_damaged_header_is_an_error(tmp_path: Path) -> None:
    shard = shards.as_tar(tmp_path / "a.tar", ROWS)
    with tarfile.open(shard) as tar:
        third = tar.getmembers()[4]
    for wrong in (b"x" * 512, bytes(512)):
        content = bytearray(shard.read_bytes())
        content[third.offset : third.offset + 512] = wrong
        (tmp_path / "b.tar").write_bytes(content)
        with pytest.raises(DataError, match=r"b\.tar: truncated or damaged after .* no header at byte"):
            open_rows(tmp_path / "b.tar")


def test_a_shard_that_shrinks_under_a_run_is_told(tmp_path: Path) -> None:
    shard = shards.as_tar(tmp_path / "a.tar", ROWS)
    table = open_rows(shard)
    shard.write_bytes(shard.read_bytes()[:2000])
    with pytest.raises(DecodeError, match="bytes early"):
        dict(table[19].values)


def link(tar: tarfile.TarFile) -> None:
    member = tarfile.TarInfo("a.txt")
    member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
    tar.addfile(member)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (link, "is no plain file"),
        (lambda tar: shards.add(tar, "a.pyd", b""), "never loaded"),
        (lambda tar: shards.add(tar, "a.PKL", b""), "never loaded"),
        (lambda tar: shards.add(tar, "a.weights.pth", b""), "never loaded"),
        (lambda tar: shards.add(tar, "README", b""), "expected KEY.EXTENSION"),
        (lambda tar: shards.add(tar, "x/.hidden", b""), "expected KEY.EXTENSION"),
        (lambda tar: [shards.add(tar, "a.txt", b"1"), shards.add(tar, "a.TXT", b"2")], "two members"),
        (lambda tar: [shards.add(tar, f"{name}.txt", b"1") for name in "aba"], "do not follow each other"),
    ],
)
def test_what_is_refused(tmp_path: Path, write: Write, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        open_rows(written(tmp_path / "a.tar", write))
    assert str(tmp_path / "a.tar") in str(caught.value)


def test_a_compressed_shard_is_told(tmp_path: Path) -> None:
    shard = shards.as_tar(tmp_path / "a.tar", ROWS)
    shard.write_bytes(gzip.compress(shard.read_bytes()))
    with pytest.raises(DataError, match="compressed: unpack it"):
        open_rows(shard)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"json": b"{"}, "is no .json"),
        ({"txt": b"\xff"}, "is no .txt"),
        ({"npy": b"\x80\x04K\x01."}, "is no .npy"),
        ({"json": b'{"txt": 1}', "txt": b"a"}, "a member of its own"),
    ],
)
def test_members_that_cannot_be_read(tmp_path: Path, members: dict[str, bytes], message: str) -> None:
    (row,) = open_rows(holding(tmp_path / "a.tar", **members))
    with pytest.raises(DecodeError, match=message) as caught:
        dict(row.values)
    assert caught.value.sample == "k" and "a.tar" in str(caught.value)


def test_an_empty_shard_is_no_training_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no samples"):
        load_splits(DataConfig(path=written(tmp_path / "a.tar", lambda tar: None)))


def test_the_index_is_small(tmp_path: Path) -> None:
    rows = [{"id": f"{number:08}", "text": "a"} for number in range(500)]
    table = TarTable(shards.as_tar(tmp_path / "a.tar", rows))
    assert len(pickle.dumps(table)) < 100 * len(rows)
