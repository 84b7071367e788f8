"""A file of samples cut into pieces, each of which can be read without those before it."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from mmsdk.data.samples import Row, csv_header, in_lines, is_csv, open_rows, reading, rows_in
from mmsdk.errors import DataError


class Piece(NamedTuple):
    """Rows of a file that follow each other.

    row: the first of them, from 0. offset, length: the bytes. before: how many lines come before. header: of a CSV.
    """

    row: int
    offset: int
    length: int
    before: int
    header: tuple[str, ...] | None = None


class _Counted:
    """The lines of a text, and how many of them, and of their bytes, have been read."""

    def __init__(self, file: IO[str], offset: int) -> None:
        self.file, self.bytes, self.lines = file, offset, 0

    def __iter__(self) -> Iterator[str]:
        for line in self.file:
            self.bytes, self.lines = self.bytes + len(line.encode()), self.lines + 1
            yield line


def cut(path: Path, rows: int, skip: int = 0) -> Iterator[Piece]:
    """The pieces of a .jsonl or .csv file, of so many rows each; the last may have fewer. JSON is not parsed.

    skip: rows at the beginning that are in no piece.

    Raises:
        DataError: there is no such file, it has another format, or a CSV has no ends of rows.
    """
    with reading(path), path.open(encoding="utf-8-sig", newline="") as file:
        with path.open("rb") as start:
            marked = start.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8
        lines = _Counted(file, len(codecs.BOM_UTF8) if marked else 0)
        header = None
        if is_csv(path):
            reader = csv.reader(lines, strict=True)
            header = tuple(csv_header(reader, path))
            found: Iterator[object] = (cells for cells in reader if cells)
        else:
            found = (line for line in lines if line.strip())
        row, seen, offset, before = 0, 0, lines.bytes, lines.lines
        end = before  # of what was read whole
        try:
            for seen, _ in enumerate(found, start=1):
                end = lines.lines
                whole = seen - row == rows
                if whole and seen > skip:
                    yield Piece(row, offset, lines.bytes - offset, before, header)
                if whole or seen <= skip:
                    row, offset, before = seen, lines.bytes, end
        except csv.Error as error:
            raise DataError(f"{path}:{end + 1}: not CSV: {error}") from None
        if seen > row:
            yield Piece(row, offset, lines.bytes - offset, before, header)


def read_piece(path: Path, piece: Piece) -> list[Row]:
    """The rows of a piece, with the ids that they have in the whole file.

    Raises:
        DataError: a line cannot be read, or the file is not what was cut.
    """
    with reading(path), path.open("rb") as file:
        file.seek(piece.offset)
        text = io.StringIO(file.read(piece.length).decode(), newline="")
    return list(rows_in(text, path, before=piece.before, header=piece.header))


class Pieces:
    """The rows of a file or of shards in pieces. Those of a table, which stay where they are, need no cutting."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.table = None if in_lines(path) else open_rows(path)

    def cut(self, rows: int) -> Iterator[Piece]:
        """So many rows each; the last may have fewer."""
        if self.table is None:
            return cut(self.path, rows)
        whole = len(self.table)
        return (Piece(first, 0, min(rows, whole - first), 0) for first in range(0, whole, rows))

    def rows(self, piece: Piece) -> Sequence[Row]:
        """Those of one piece."""
        if self.table is None:
            return read_piece(self.path, piece)
        return self.table[piece.row : piece.row + piece.length]
