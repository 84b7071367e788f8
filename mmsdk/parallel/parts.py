"""Work on the rows of a file in parts, which several processes take as they get to them.

Beside the output, as long as it is not whole, lies OUTPUT.parts/:

whose.json              what it was begun with, and how many rows a part has
00004096-<digest>       what was made of the rows from 4,096 on, whole or not there; the digest is that of the rows

So a part is done once, in whatever process, and stays done when the work is begun again by any number of them; where
the rows have changed, it is made anew.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmsdk.data.pieces import Piece, cut, read_piece
from mmsdk.data.samples import Row, digest, in_lines, open_rows
from mmsdk.errors import ConfigError, DataError
from mmsdk.folders import flush, writing
from mmsdk.parallel.team import Team

Make = Callable[[Path, int, Sequence[Row]], None]
NOTE = "whose.json"
BATCH, MOST = 64, 4096
"""Rows that a part has, at least and at most."""
PARTS = 16
"""Parts that each process gets, about, of a small file: so many that none waits long for another one's last."""


def parts_folder(output: Path) -> Path:
    return output.with_name(output.name + ".parts")


class Parts:
    """The parts of one output.

    whose: what the results depend on, beside the rows. resume: keep the parts that are there. count: of the rows.

    Raises:
        ConfigError: there is nothing to go on with, or it is of something else. CheckpointError: it cannot be written.
        DataError: the file of the rows cannot be read, or is empty.
    """

    def __init__(self, source: Path, output: Path, whose: Mapping[str, Any], team: Team, *, resume: bool) -> None:
        self.source, self.output, self.whose, self.team = source, output, dict(whose), team
        self.table = None if in_lines(source) else open_rows(source)
        self.folder = parts_folder(output)
        self.done: list[Path] = []
        if team.rank == 0:
            count = sum(1 for _ in self._cut(1))
            if not count:
                raise DataError(f"{source}: there are no samples in this file")
            with writing(self.folder):
                each = self._begun() if resume else self._begin(count)
            team.put("parts", json.dumps([count, each]))
        self.count, self.each = json.loads(team.get("parts"))

    def _begin(self, count: int) -> int:
        shutil.rmtree(self.folder, ignore_errors=True)
        each = min(max(count // (PARTS * self.team.processes) // BATCH, 1) * BATCH, MOST)
        self.folder.mkdir(parents=True)
        (self.folder / NOTE).write_text(json.dumps({**self.whose, "each": each}), encoding="utf-8")
        return each

    def _begun(self) -> int:
        note = self.folder / NOTE
        if not note.is_file():
            found = "is whole, there is nothing left to do" if self.output.exists() else "was not begun"
            raise ConfigError(f"--resume: {self.output} {found}; without --resume it is made from the beginning")
        begun = json.loads(note.read_text(encoding="utf-8"))
        each = int(begun.pop("each"))
        differing = [name for name in self.whose if begun.get(name) != self.whose[name]]
        if differing:
            other = " and ".join(differing)
            raise ConfigError(f"--resume: {self.output} was begun with another {other}: take that one, or begin anew")
        return each

    def work(self, make: Make) -> None:
        """Have each part made that is not there: `make(file, number of its first row, rows)`.

        Returns when all processes are done; `done` are then all parts, in the order of the rows.
        """
        firsts = []
        for piece in self._cut(self.each):
            firsts.append(piece.row)
            if self.team.first(f"part {piece.row}"):
                rows = self._rows(piece)
                part = self.folder / f"{piece.row:08d}-{digest({'': rows})[:16]}"
                if not part.exists():
                    self._make(part, make, piece.row, rows)
                self.team.put(f"part {piece.row}", part.name)
        self.team.meet("the end of the work")
        self.done = [self.folder / self.team.get(f"part {first}") for first in firsts]

    def _cut(self, rows: int) -> Iterator[Piece]:
        if self.table is None:
            return cut(self.source, rows)
        whole = len(self.table)
        return (Piece(first, 0, min(rows, whole - first), 0) for first in range(0, whole, rows))

    def _rows(self, piece: Piece) -> Sequence[Row]:
        if self.table is None:
            return read_piece(self.source, piece)
        return self.table[piece.row : piece.row + piece.length]

    def _make(self, part: Path, make: Make, first: int, rows: Sequence[Row]) -> None:
        aside = part.with_name(f".writing-{part.name}")
        with writing(part):
            make(aside, first, rows)
            flush(aside)
            aside.replace(part)

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
