"""What it costs a process to find its share of a file of rows, against reading all of it."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.measuring import Result, interleaved
from mmsdk.data.pieces import cut, read_piece
from mmsdk.data.samples import read_rows

PIECE = 1024


def run(quick: bool) -> list[Result]:
    rows, rounds = (2_000, 2) if quick else (50_000, 7)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for what, numbers in (("texts", 0), ("64 numbers", 64)):
            path = Path(folder, f"{numbers}.jsonl")
            row = {"text": "a row of some ten words, as tables have them", "numbers": [0.123456] * numbers}
            path.write_text("".join(json.dumps({"id": str(number), **row}) + "\n" for number in range(rows)))
            sides: dict[str, Callable[[], object]] = {
                "cut": lambda path=path: sum(1 for _ in cut(path, PIECE)),
                "read": lambda path=path: sum(1 for _ in read_rows(path)),
            }
            found = interleaved({name: lambda side=side: _seconds(side) for name, side in sides.items()}, rounds)
            equal = [row for piece in cut(path, PIECE) for row in read_piece(path, piece)] == list(read_rows(path))
            name = f"file_pieces: {what}, cut / read"
            note = f"{rows:,} rows, {1e6 * min(found['cut']) / rows:.1f} us a row to cut"
            results.append(Result.of(name, found["cut"], found["read"], goal=None, equal=equal, note=note))
    return results


def _seconds(do: Callable[[], object]) -> float:
    start = time.process_time()
    do()
    return time.process_time() - start
