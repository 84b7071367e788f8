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
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from mmsdk.data.pieces import Piece, Pieces
from mmsdk.data.samples import Row, digest
from mmsdk.data.windows import BATCH_SIZE, BATCHES
from mmsdk.errors import ConfigError, DataError
from mmsdk.folders import flush, writing
from mmsdk.parallel.team import Team

Told = TypeVar("Told")
Make = Callable[[Path, int, Sequence[Row]], Told]
"""Writes a file of these rows, of which the first one has this number, and tells something of them."""
NOTE = "whose.json"
BATCH, WINDOW, MOST = 64, BATCH_SIZE * BATCHES, 4096
"""Rows that a part has: a multiple of the first, at most the last; where there are many, whole windows of `predict`."""
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
        self.source, self.output, self.whose, self.team = Pieces(source), output, dict(whose), team
        self.folder = parts_folder(output)
        self.done: list[Path] = []
        if team.rank == 0:
            count = sum(1 for _ in self.source.cut(1))
            if not count:
                raise DataError(f"{source}: there are no samples in this file")
            with writing(self.folder):
                each = self._begun() if resume and self._there() else self._begin(count)
            team.put("parts", json.dumps([count, each]))
        self.count, self.each = json.loads(team.get("parts"))

    def _begin(self, count: int) -> int:
        shutil.rmtree(self.folder, ignore_errors=True)
        each = min(max(count // (PARTS * self.team.processes), BATCH), MOST)
        each -= each % (WINDOW if each >= WINDOW else BATCH)
        self.folder.mkdir(parents=True)
        (self.folder / NOTE).write_text(json.dumps({**self.whose, "each": each}), encoding="utf-8")
        return each

    def _there(self) -> bool:
        if not (self.folder / NOTE).is_file() and self.output.exists():
            raise ConfigError(
                f"--resume: {self.output} is whole, there is nothing left to do; without --resume it is made from the "
                "beginning"
            )
        return (self.folder / NOTE).is_file()

    def _begun(self) -> int:
        note = self.folder / NOTE
        begun = {"precision": "float32", **json.loads(note.read_text(encoding="utf-8"))}  # it was not always noted
        each = int(begun.pop("each"))
        differing = [name for name in self.whose if begun.get(name) != self.whose[name]]
        if differing:
            other = " and ".join(differing)
            raise ConfigError(f"--resume: {self.output} was begun with another {other}: take that one, or begin anew")
        return each

    def work(self, make: Make[Told], tell: Callable[[Told], None]) -> None:
        """Have each part made that is not there, by this team. tell: is given what this process's parts have told.

        Returns when all processes are done; `done` are then all parts, in the order of the rows.
        """
        firsts = []
        for piece in self.source.cut(self.each):
            firsts.append(piece.row)
            if self.team.first(f"part {piece.row}"):
                name, told = made(self.source, self.folder, piece, make)
                if told is not None:
                    tell(told)
                self.team.put(f"part {piece.row}", name)
        self.team.meet("the end of the work")
        self.done = [self.folder / self.team.get(f"part {first}") for first in firsts]

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def made(source: Pieces, folder: Path, piece: Piece, make: Make[Told]) -> tuple[str, Told | None]:
    """The name of the part of these rows, and what was told when it was made; None where it was there already.

    Raises:
        DataError: the rows cannot be read. CheckpointError: the part cannot be written.
    """
    rows = source.rows(piece)
    part = folder / f"{piece.row:08d}-{digest({'': rows})[:16]}"
    if part.exists():
        return part.name, None
    aside = part.with_name(f".writing-{part.name}")
    with writing(part):
        told = make(aside, piece.row, rows)
        flush(aside)
        aside.replace(part)
    return part.name, told
