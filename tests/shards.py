"""The same rows as JSON lines and as shards of other kinds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
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


WRITERS = {".jsonl": as_jsonl, ".parquet": as_parquet, ".arrow": as_arrow, ".feather": as_feather}


def in_shards(folder: Path, rows: Rows, suffix: str, count: int = 3) -> Path:
    """`count` files of these rows, and the pattern that means them all."""
    folder.mkdir(parents=True, exist_ok=True)
    each = -(-len(rows) // count)
    for number in range(count):
        WRITERS[suffix](folder / f"rows-{number:05}{suffix}", rows[number * each : (number + 1) * each])
    return folder / f"rows-*{suffix}"
