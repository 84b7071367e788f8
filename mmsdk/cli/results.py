"""The file that results are written to, line by line; a call that was cut off can be gone on with."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from mmsdk.errors import ConfigError, DataError

if TYPE_CHECKING:
    from mmsdk.data.samples import Row
    from mmsdk.pipeline.pipeline import Pipeline


def _note(output: Path) -> Path:
    return output.with_name(output.name + ".unfinished")


def begin_anew(output: Path) -> None:
    """Remove what earlier calls that did not finish have left beside an output."""
    from mmsdk.parallel.parts import parts_folder

    _note(output).unlink(missing_ok=True)
    shutil.rmtree(parts_folder(output), ignore_errors=True)


def in_parts(output: Path) -> bool:
    """Whether several processes have begun an output, and not finished it."""
    from mmsdk.parallel.parts import parts_folder

    return parts_folder(output).is_dir()


def is_whole(output: Path) -> bool:
    """Whether an output was written to its end."""
    return output.exists() and not _note(output).exists() and not in_parts(output)


def counted(output: Path) -> dict[str, Any]:
    """What an output that is whole has come to.

    Raises:
        DataError: it cannot be read, or is no file of results.
    """
    samples = errors = 0
    try:
        with output.open(encoding="utf-8") as lines:
            for line in lines:
                samples, errors = samples + 1, errors + ("error" in json.loads(line))
    except (OSError, ValueError) as error:
        raise DataError(f"{output}: no file of results: {error}") from None
    return {"samples": samples, "errors": errors, "output": str(output)}


class ResultFile:
    """Lines of results at `path`. As long as they are not whole, a note beside it tells whose they are.

    Raises:
        DataError: it cannot be written. ConfigError: there is nothing to go on with, or it is of something else.
    """

    def __init__(self, path: Path, pipeline: Pipeline, resume: bool) -> None:
        self.path, self.note = path, _note(path)
        resume = resume and path.exists()
        self.done: list[str] = []
        whose = {"pipeline": pipeline.fingerprint(), "precision": pipeline.precision}
        try:
            if resume:
                self._go_on(whose)
            self.note.write_text(json.dumps(whose), encoding="utf-8")
            self.file: IO[str] = path.open("a" if resume else "w", encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise DataError(f"{path}: cannot be written: {error}") from None

    def _go_on(self, whose: object) -> None:
        """Find what is done, and cut off a line that was not written to its end."""
        if not self.note.exists():
            raise ConfigError(f"--resume: {self.path} is whole, there is nothing left to do")
        begun = {"precision": "float32", **json.loads(self.note.read_text(encoding="utf-8"))}  # it was not always noted
        if begun != whose:
            raise ConfigError(
                f"--resume: {self.path} was begun with another pipeline or precision: take that one, or begin anew"
            )
        whole = 0
        with self.path.open("rb") as lines:
            for line in lines:
                if line.endswith(b"\n"):
                    whole += len(line)
                    self.done.append(str(json.loads(line)["id"]))
        os.truncate(self.path, whole)

    def left(self, rows: Iterable[Row], source: Path) -> Iterator[Row]:
        """The rows that have no result yet.

        Raises:
            ConfigError: the results are of other rows.
        """
        each = iter(rows)
        for number, name in enumerate(self.done, start=1):
            row = next(each, None)
            if row is None or row.id != name:
                found = "ends before" if row is None else f"has '{row.id}' there"
                raise ConfigError(
                    f"--resume: {self.path}:{number} is the result of '{name}', but {source} {found}: take the file "
                    "that it was begun with, or begin anew"
                )
        return chain(each)

    def write(self, line: str) -> None:
        self.file.write(line + "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.file.close()
        if kind is None:
            self.note.unlink(missing_ok=True)
