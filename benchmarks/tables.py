"""Rows of tables on a disk in random order: beside `datasets` by place, and beside one file for each value."""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring import Result, interleaved
from mmsdk.data.samples import open_rows

ROWS, READ, ROUNDS, PICTURE = 20_000, 2_000, 10, 20_000
"""Rows of a table, rows that a round reads, and bytes of a picture; a tenth of the rows have files."""


def run(quick: bool) -> list[Result]:
    try:
        import datasets
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError as error:
        return [Result.not_measured("tables", f"'{error.name}' is not installed: pip install 'mmsdk[datasets]'")]
    rounds, read = (1, 50) if quick else (ROUNDS, READ)
    rng = np.random.default_rng(0)
    rows = [_row(number, rng) for number in range(500 if quick else ROWS)]
    order = rng.permutation(len(rows))[:read].tolist()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        pa.parquet.write_table(pa.Table.from_pylist(rows), folder / "rows.parquet")
        table = open_rows(folder / "rows.parquet")
        plain = datasets.load_dataset("parquet", data_files=str(folder / "rows.parquet"), split="train")
        found = [
            _result(
                "mapped Parquet / datasets",
                lambda n: dict(table[n].values),
                lambda n: plain[n],
                order,
                rounds,
                goal=1.0,
            )
        ]
        shard, loose = _pictures(folder, rows[: max(len(rows) // 10, 50)], rng)
        few = [place % len(shard) for place in order]
        found.append(_result("tar / loose files", lambda n: dict(shard[n].values), loose, few, rounds))
    return found


def _row(number: int, rng: np.random.Generator) -> dict[str, Any]:
    return {"id": str(number), "text": f"the {number}th of all", "numbers": rng.normal(size=32).tolist(), "y": number}


def _pictures(folder: Path, rows: Sequence[dict[str, Any]], rng: np.random.Generator) -> tuple[Any, Any]:
    """A tar shard of pictures and their rows, and how one reads the same from files."""
    with tarfile.open(folder / "rows.tar", "w") as tar:
        for row in rows:
            for suffix, content in (("jpg", rng.bytes(PICTURE)), ("json", json.dumps(row).encode())):
                (folder / f"{row['id']}.{suffix}").write_bytes(content)
                member = tarfile.TarInfo(f"{row['id']}.{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))

    def loose(number: int) -> dict[str, Any]:
        values: dict[str, Any] = json.loads((folder / f"{number}.json").read_bytes())
        return {"jpg": (folder / f"{number}.jpg").read_bytes(), **values}

    return open_rows(folder / "rows.tar"), loose


def _result(
    title: str,
    ours: Callable[[int], Any],
    theirs: Callable[[int], Any],
    order: Sequence[int],
    rounds: int,
    goal: float | None = None,
) -> Result:
    def side(read: Callable[[int], Any]) -> float:
        start = time.process_time()
        for place in order:
            read(place)
        return (time.process_time() - start) / len(order)

    equal = all(ours(place) == theirs(place) for place in order[:50])
    seconds = interleaved({"ours": lambda: side(ours), "theirs": lambda: side(theirs)}, rounds)
    note = f"{len(order)} whole rows in random order, processor time of one"
    return Result.of(f"tables: {title}", seconds["ours"], seconds["theirs"], goal=goal, equal=equal, note=note)
