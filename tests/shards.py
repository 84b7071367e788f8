"""The same rows as JSON lines and as shards of other kinds."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet

Rows = Sequence[Mapping[str, Any]]


def as_jsonl(path: Path, rows: Rows) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def as_table(rows: Rows) -> pa.Table:
    """Every column that one of the rows has; null where a row has none."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.table({name: [row.get(name) for row in rows] for name in names})


def as_parquet(path: Path, rows: Rows) -> Path:
    pa.parquet.write_table(as_table(rows), path, row_group_size=7)
    return path


def as_arrow(path: Path, rows: Rows) -> Path:
    """A stream of Arrow batches, as `datasets` writes them."""
    table = as_table(rows)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, 7)
    return path


def as_feather(path: Path, rows: Rows) -> Path:
    pa.feather.write_feather(as_table(rows), path)
    return path


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, BytesIO(content))


def as_tar(path: Path, rows: Rows) -> Path:
    """The id of a row as its key, everything else in a .json; texts and bytes in members of their own."""
    with tarfile.open(path, "w") as tar:
        for row in rows:
            rest = {name: value for name, value in row.items() if name not in ("id", "text") and value is not None}
            for name, value in list(rest.items()):
                if isinstance(value, bytes):
                    add(tar, f"{row['id']}.{name}", rest.pop(name))
            add(tar, f"{row['id']}.json", json.dumps(rest).encode())
            if "text" in row:
                add(tar, f"{row['id']}.text", row["text"].encode())
    return path


WRITERS = {".jsonl": as_jsonl, ".parquet": as_parquet, ".arrow": as_arrow, ".feather": as_feather, ".tar": as_tar}


def in_shards(folder: Path, rows: Rows, suffix: str, count: int = 3) -> Path:
    """`count` files of these rows, and the pattern that means them all."""
    folder.mkdir(parents=True, exist_ok=True)
    each = -(-len(rows) // count)
    for number in range(count):
        WRITERS[suffix](folder / f"rows-{number:05}{suffix}", rows[number * each : (number + 1) * each])
    return folder / f"rows-*{suffix}"
