"""Samples: rows of raw values, from files or from Python.

A sample is a mapping from column to raw value. A value that is missing (no key, null, empty, NaN) means that the
stream is absent in that sample.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple

from mmsdk.config.data import ARROW_FILES, SAMPLE_FILES, TAR_FILES
from mmsdk.data.shards import home_of, is_pattern, shards_of
from mmsdk.data.tables import Table
from mmsdk.errors import DataError, listed, no_such_file

Sample = Mapping[str, Any]
InMemory = Sequence[Sample] | Mapping[str, Sequence[Sample]]


class Row(NamedTuple):
    """One sample: its id, its values, and the folder that paths among them are relative to (None: where we stand)."""

    id: str
    values: Sample
    folder: Path | None = None

    def value(self, column: str | Sequence[str]) -> Any:
        """The raw value of a column, or a mapping for several; None where it is missing."""
        if isinstance(column, str):
            value = self.values.get(column)
            return None if is_missing(value) else value
        cells = {name: self.values.get(name) for name in column}
        return None if all(is_missing(cell) for cell in cells.values()) else cells


def is_missing(value: Any) -> bool:
    """None, a blank text, NaN, or an empty list: what tables hold where there is nothing."""
    if value is None:
        return True
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, Real):  # numpy's numbers of any width, too
        return bool(value != value)
    return isinstance(value, list | tuple | dict | bytes) and len(value) == 0


def read_rows(path: Path, id_column: str = "id") -> Iterator[Row]:
    """The rows of a file, or of the files of a pattern such as train-*.jsonl, one at a time.

    Raises:
        DataError: no such file, another format, or a line that cannot be read (named by its number).
    """
    if not in_lines(path):
        yield from open_rows(path, id_column)
        return
    with reading(path), path.open(encoding="utf-8-sig", newline="") as file:
        yield from rows_in(file, path, id_column)


def rows_in(
    lines: Iterable[str], path: Path, id_column: str = "id", *, before: int = 0, header: Sequence[str] | None = None
) -> Iterator[Row]:
    """The rows in some lines of a file. before: lines that stand before these; header: of a CSV, if it is among them.

    Raises:
        DataError: a line that cannot be read.
    """
    found = _csv(lines, path, before, header) if is_csv(path) else _jsonl(lines, path, before)
    folder = path.absolute().parent
    for number, values in found:
        yield as_row(values, f"{path.name}:{number}", id_column, folder)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Says what is wrong with a file of samples.

    Raises:
        DataError: no such file, another format, or no text in UTF-8.
    """
    if path.suffix.lower() not in SAMPLE_FILES:
        raise DataError(f"{path}: expected a file that ends in {listed(SAMPLE_FILES)}")
    try:
        yield
    except FileNotFoundError:
        raise DataError(no_such_file(path)) from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 at byte {error.start}: save the file as UTF-8") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None


def is_csv(path: Path) -> bool:
    return path.suffix.lower() == ".csv"


def in_lines(path: Path) -> bool:
    """Whether it is one file of text, of which a part can be read by itself."""
    return not (path.suffix.lower() in (*ARROW_FILES, *TAR_FILES) or is_pattern(path) or path.is_dir())


def open_rows(path: Path, id_column: str = "id") -> Sequence[Row]:
    """The same rows by place: a list of those in text, a table of those that stay where they are.

    Raises:
        DataError: see `read_rows`; a shard is truncated or damaged, or the extra that reads it is not installed.
    """
    if path.is_dir():
        from mmsdk.data.hub import open_folder

        splits = open_folder(path, id_column, "train")
        if len(splits) > 1:
            raise DataError(f"{path}: has several splits ({listed(splits)}): name the files of one of them")
        return next(iter(splits.values()))
    if path.suffix.lower() in ARROW_FILES:
        from mmsdk.data.arrow import open_arrow

        return open_arrow(shards_of(path), path.name, id_column, home_of(path))
    if path.suffix.lower() in TAR_FILES:
        from mmsdk.data.tar import open_tar

        return open_tar(shards_of(path))
    if is_pattern(path):
        return [row for shard in shards_of(path) for row in read_rows(shard, id_column)]
    return list(read_rows(path, id_column))


def as_row(values: Any, place: str, id_column: str = "id", folder: Path | None = None) -> Row:
    """A sample as a row; `place` serves as id where the sample has none."""
    if not isinstance(values, Mapping):
        raise DataError(f"{place}: expected a mapping from column to value, found {type(values).__name__}")
    name = values.get(id_column)
    return Row(place if is_missing(name) else str(name), values, folder)


def _jsonl(file: Iterable[str], path: Path, before: int) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(file, start=before + 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            why = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else error
            raise DataError(f"{path}:{number}: not JSON: {why}") from None
        if not isinstance(values, dict):
            raise DataError(f'{path}:{number}: expected an object such as {{"text": "..."}}, found {line.strip()[:40]}')
        yield number, values


def _csv(
    file: Iterable[str], path: Path, before: int, header: Sequence[str] | None
) -> Iterator[tuple[int, dict[str, str]]]:
    reader = csv.reader(file, strict=True)
    columns = csv_header(reader, path) if header is None else header
    end = before + reader.line_num  # of what was read whole: a bad row begins after it, and may run to the file's end
    try:
        for cells in reader:
            if cells and len(cells) != len(columns):
                where = f"{path}:{before + reader.line_num}"
                raise DataError(f"{where}: {len(cells)} cells, but the header has {len(columns)} columns")
            end = before + reader.line_num
            if cells:
                yield end, dict(zip(columns, cells, strict=True))
    except csv.Error as error:
        raise DataError(f"{path}:{end + 1}: not CSV: {error}") from None


def csv_header(reader: Iterator[list[str]], path: Path) -> list[str]:
    """The columns of a CSV file that is read from its beginning.

    Raises:
        DataError: they cannot be told apart.
    """
    try:
        header = next(reader, [])
    except csv.Error as error:
        raise DataError(f"{path}:1: not CSV: {error}") from None
    twice = [name for place, name in enumerate(header) if name in header[:place]]
    if len(header) == 1 and any(mark in header[0] for mark in ";\t"):
        raise DataError(f"{path}:1: one column '{header[0][:40]}': separate columns by commas")
    if twice:
        raise DataError(f"{path}:1: there are two columns '{twice[0]}': rename one of them")
    return header


def content(row: Row, without: Collection[str]) -> bytes:
    """A fingerprint of a row's values. A value that is missing counts as one that is not there."""
    values = {name: row.values[name] for name in row.values if name not in without}
    values = {name: value for name, value in values.items() if not is_missing(value)}
    return hashlib.blake2b(json.dumps(values, sort_keys=True, default=_brief).encode(), digest_size=16).digest()


def digest(splits: Mapping[str, Sequence[Row]]) -> str:
    """A fingerprint of all rows, to tell whether a resumed run sees the same data."""
    sha = hashlib.sha256()
    for name, rows in splits.items():
        sha.update(f"{name} {len(rows)}\n".encode())
        if isinstance(rows, Table):
            sha.update(rows.fingerprint().encode())
            continue
        for row in rows:
            sha.update(json.dumps([row.id, dict(row.values)], sort_keys=True, default=_brief).encode())
    return sha.hexdigest()


def _brief(value: Any) -> str:
    """What stands for a value that JSON does not know, such as an array or a picture."""
    for method in ("tobytes", "tolist"):  # of arrays and pictures; of tensors, whose text leaves numbers out
        if hasattr(value, method):
            value = getattr(value, method)()
            break
    data = value if isinstance(value, bytes) else str(value).encode()
    return hashlib.blake2b(data, digest_size=16).hexdigest()
