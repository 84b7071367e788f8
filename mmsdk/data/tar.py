"""Tar shards, by the convention of WebDataset: members that are called alike but for the extension are a sample.

    0001.jpg 0001.txt 0001.json 0002.jpg ...

An extension is a column. Nothing is unpacked to the disk, and nothing is run: no pickle, no link, no device.
"""

from __future__ import annotations

import json
import tarfile
from array import array
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from mmsdk.data.samples import Row
from mmsdk.data.tables import Cells, Joined, Table, fingerprint_of
from mmsdk.errors import DataError, DecodeError

TEXTS = ("txt", "text", "cls", "transcript")
CODE = ("pyd", "pkl", "pickle", "joblib", "dill", "pt", "pth", "ckpt")
"""What others load by running it."""
JSON = "json"
"""The member whose keys are columns, beside the other members."""
MOST = 2**30
"""Bytes of a member."""
END = 2 * tarfile.BLOCKSIZE
"""Zeros that a tar file ends with, at least."""


class Member(NamedTuple):
    """A file in the shard: the sample and the column that it belongs to, and where its content is."""

    key: str
    column: str
    offset: int
    size: int


def members_of(path: Path) -> Iterator[Member]:
    """All members, read by their headers alone.

    Raises:
        DataError: names the shard and the place where it is truncated, damaged, or holds what it must not.
    """
    with path.open("rb") as file:
        last = "its beginning"
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                while (info := tar.next()) is not None:
                    tar.members.clear()  # type: ignore[attr-defined]  # it would keep them all
                    last = f"'{info.name}'"
                    if not info.isdir():
                        yield _member(info, path)
                _require_end(file, tar.offset)
        except (tarfile.TarError, EOFError, OSError, ValueError) as error:
            raise DataError(f"{path}: truncated or damaged after {last}: {error}{_hint(path)}") from None


def _member(info: tarfile.TarInfo, path: Path) -> Member:
    folder, slash, name = info.name.rpartition("/")
    stem, _, column = name.partition(".")
    column = column.lower()
    wrong = ""
    if not info.isreg() or info.issparse():
        wrong = "is no plain file: links, devices and sparse files are not read"
    elif not stem or not column:
        wrong = "expected KEY.EXTENSION, as the extension tells the column"
    elif column.rpartition(".")[2] in CODE:
        wrong = "may hold code, and is never loaded: store numbers as .npy, the rest as .json"
    elif info.size > MOST:
        wrong = f"has {info.size:,} bytes; at most {MOST:,} are read"
    if wrong:
        raise DataError(f"{path}: member '{info.name}': {wrong}")
    return Member(folder + slash + stem, column, info.offset_data, info.size)


def _require_end(file: BinaryIO, offset: int) -> None:
    """Python takes whatever is no header for the end of the file."""
    file.seek(offset)
    zeros = 0
    while block := file.read(2**16):
        if any(block):
            raise ValueError(f"no header at byte {offset:,}")
        zeros += len(block)
    if zeros < END:
        raise ValueError(f"no end, at byte {offset + zeros:,}")


def _hint(path: Path) -> str:
    with path.open("rb") as file:
        packed = file.read(4).startswith((b"\x1f\x8b", b"BZh", b"\xfd7zX", b"\x28\xb5\x2f\xfd"))
    return " (it is compressed: unpack it, so that its members can be read one by one)" if packed else ""


class TarTable(Table):
    """The samples of one shard, by an index of its members: some 60 bytes a sample, and the content when asked for.

    Raises:
        DataError: see `members_of`; also members of one sample that do not follow each other.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.columns: list[str] = []
        self.starts, self.key_ends = array("q"), array("q", [0])  # [samples + 1]
        self.offsets, self.sizes, self.codes = array("q"), array("q"), array("i")  # [members]
        known: dict[str, int] = {}
        seen: set[str] = set()
        keys = bytearray()
        own: set[str] = set()
        before = None
        for member in members_of(path):
            if member.key != before:
                if member.key in seen:
                    raise DataError(
                        f"{path}: the members of sample '{member.key}' do not follow each other: sort them by name "
                        "(tar --sort=name)"
                    )
                seen.add(member.key)
                before, own = member.key, set()
                self.starts.append(len(self.codes))
                keys += member.key.encode("utf-8", "surrogateescape")
                self.key_ends.append(len(keys))
            if member.column in own:
                raise DataError(f"{path}: sample '{member.key}' has two members '.{member.column}'")
            own.add(member.column)
            self.codes.append(known.setdefault(member.column, len(known)))
            self.offsets.append(member.offset)
            self.sizes.append(member.size)
        self.starts.append(len(self.codes))
        self.columns, self.keys = list(known), bytes(keys)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def row(self, place: int) -> Row:
        start, end = self.key_ends[place], self.key_ends[place + 1]
        key = self.keys[start:end].decode("utf-8", "surrogateescape")
        own = range(self.starts[place], self.starts[place + 1])
        places = {self.columns[self.codes[each]]: (self.offsets[each], self.sizes[each]) for each in own}
        return Row(key, TarCells(self.path, key, places), self.path.absolute().parent)

    def fingerprint(self) -> str:
        return fingerprint_of([self.path])


class TarCells(Cells):
    """The values of a sample: text of .txt and .cls, what stands in .json, an array of .npy, else bytes."""

    def __init__(self, path: Path, key: str, places: dict[str, tuple[int, int]]) -> None:
        self.path, self.key, self.places = path, key, places
        self._json: dict[str, Any] | None = None

    def __getitem__(self, column: str) -> Any:
        if column in self.places and (column != JSON or not self.keys_of_json):
            return self._value(column)
        return self.keys_of_json[column]

    def __iter__(self) -> Iterator[str]:
        inside = self.keys_of_json
        return iter([*(name for name in self.places if name != JSON or not inside), *inside])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def holds_bytes(self, column: str) -> bool:
        return column in self.places and _kind(column) not in (JSON, "npy", *TEXTS) and self.places[column][1] > 0

    @property
    def keys_of_json(self) -> dict[str, Any]:
        """The columns that the sample's .json holds, where that is an object."""
        if self._json is None:
            found = self._value(JSON) if JSON in self.places else None
            self._json = found if isinstance(found, dict) else {}
            twice = self._json.keys() & self.places.keys()
            if twice:
                raise self._wrong(JSON, f"'{min(twice)}' is a key in it, and a member of its own: rename one of them")
        return self._json

    def _value(self, column: str) -> Any:
        content, kind = self._content(column), _kind(column)
        try:
            if kind in TEXTS:
                return content.decode("utf-8").removesuffix("\n")
            if kind == JSON:
                return json.loads(content)
            if kind == "npy":
                return np.load(BytesIO(content), allow_pickle=False)
        except (ValueError, EOFError, RecursionError) as error:
            raise self._wrong(column, f"is no .{kind}: {error}") from None
        return content

    def _content(self, column: str) -> bytes:
        offset, size = self.places[column]
        try:
            with self.path.open("rb") as file:  # anew each time, so that processes do not share a place in it
                file.seek(offset)
                content = file.read(size)
        except OSError as error:
            raise self._wrong(column, f"cannot be read: {error.strerror}") from None
        if len(content) < size:
            raise self._wrong(column, f"ends {size - len(content):,} bytes early: the shard was cut off meanwhile")
        return content

    def _wrong(self, column: str, why: str) -> DecodeError:
        return DecodeError(f"{self.path}: member '.{column}': {why}", sample=self.key)


def _kind(column: str) -> str:
    return column.rpartition(".")[2]


def open_tar(files: Sequence[Path]) -> Table:
    """The samples of tar shards, one shard after the other.

    Raises:
        DataError: see `TarTable`.
    """
    tables = [TarTable(file) for file in files]
    return tables[0] if len(tables) == 1 else Joined(tables)
