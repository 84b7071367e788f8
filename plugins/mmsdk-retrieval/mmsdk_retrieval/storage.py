"""An index as a folder; whoever opens one gets a whole one or an error, and no code is run.

index.json            format, the fingerprint of the pipeline that made it and where it was, its head, streams, pictures
rows.jsonl            one row a line: {"id": ..., "values": {...}}
vectors.safetensors   per stream [rows, width] float32; zeros where the stream is absent
MANIFEST.json         sizes and sha256 of the above
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mmsdk import CheckpointError, open_folder, write_folder

HEADER, ROWS, VECTORS = "index.json", "rows.jsonl", "vectors.safetensors"
MAKE = "Make one: mmsdk index RUN --data FILE --out INDEX"


class Header(BaseModel):
    """What an index says of itself.

    pipeline: the fingerprint of the one that made it. run: where that one was, to be found again without being named.
    streams: that can be searched. pictures: the columns that hold images, for galleries.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    pipeline: str
    run: str | None = None
    head: str
    streams: list[str] = Field(min_length=1)
    pictures: list[str] = []


class Line(BaseModel):
    """A row: its id, and the values of the sample that it was made of, as far as JSON knows them."""

    model_config = ConfigDict(extra="forbid")

    id: str
    values: dict[str, Any]


class Stored(NamedTuple):
    """All of an index. vectors: per stream, [rows, width] float32."""

    header: Header
    lines: list[Line]
    vectors: dict[str, Tensor]


def save(stored: Stored, folder: Path) -> Path:
    """Write an index; one that stood there is replaced once the new one is whole.

    Raises:
        CheckpointError: something else stands there, or it cannot be written.
    """
    if folder.exists() and not (folder / HEADER).is_file() and not (folder.is_dir() and not any(folder.iterdir())):
        raise CheckpointError(f"{folder} exists and is no index: choose another folder, or remove it")

    def fill(aside: Path) -> None:
        (aside / HEADER).write_text(stored.header.model_dump_json(indent=1), encoding="utf-8")
        lines = "".join(json.dumps({"id": line.id, "values": line.values}) + "\n" for line in stored.lines)
        (aside / ROWS).write_text(lines, encoding="utf-8")
        save_file({name: part.contiguous() for name, part in stored.vectors.items()}, aside / VECTORS)

    return write_folder(folder, fill)


def load(folder: Path) -> Stored:
    """Read an index.

    Raises:
        CheckpointError: there is none, or it is damaged; says what to do.
    """
    try:
        home = open_folder(folder)
    except CheckpointError as error:
        if not folder.is_dir():
            raise CheckpointError(f"{folder}: there is no index. {MAKE}") from None
        raise _damaged(folder, error) from None
    try:
        stored = _read(home)
        _check(stored)
    except (OSError, ValueError, KeyError, TypeError, RecursionError, SafetensorError, ValidationError) as error:
        raise _damaged(folder, error) from None
    return stored


def _damaged(folder: Path, error: Exception) -> CheckpointError:
    why = str(error)
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        why = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return CheckpointError(f"{folder}: no index, or damaged: {why}. {MAKE}")


def _read(home: Path) -> Stored:
    header = Header.model_validate_json((home / HEADER).read_bytes())
    text = (home / ROWS).read_text(encoding="utf-8")
    lines = [Line.model_validate(json.loads(line)) for line in text.split("\n") if line]
    return Stored(header, lines, load_file(home / VECTORS))


def _check(stored: Stored) -> None:
    """Whatever the checksums say: they find damage, not forgery.

    Raises:
        ValueError: the parts do not fit together.
    """
    header, lines, vectors = stored
    if sorted(header.streams) != sorted(vectors):
        raise ValueError(f"streams {sorted(header.streams)}, but vectors of {sorted(vectors)}")
    if (twice := repeated([line.id for line in lines])) is not None:
        raise ValueError(f"the id '{twice}' is there twice")
    for name, part in vectors.items():
        if part.dtype != torch.float32 or part.dim() != 2 or len(part) != len(lines) or not part.shape[1]:
            raise ValueError(f"vectors of '{name}' are {list(part.shape)} {part.dtype}, with {len(lines)} rows")
        lengths = part.norm(dim=1)
        if not ((lengths == 0) | ((lengths - 1).abs() < 1e-3)).all():  # NaN is neither
            raise ValueError(f"vectors of '{name}' have not the length 1")


def repeated(ids: Sequence[str]) -> str | None:
    """The first id that comes a second time."""
    seen: set[str] = set()
    for name in ids:
        if name in seen:
            return name
        seen.add(name)
    return None


def json_values(values: Any) -> dict[str, Any]:
    """The values that JSON knows; pictures, bytes, arrays and their like are left out, and so is what is not finite."""
    kept = {}
    for name, value in values.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            continue
        kept[str(name)] = value
    return kept
