"""Memory does not grow with the data: 100 MiB of pictures, of which never more than a few are held."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from tests import shards

COUNT, SIZE = 400, 2**18
MEASURED = """
import sys
from pathlib import Path
from mmsdk.config.data import DataConfig, StreamingConfig
from mmsdk.data.samples import open_rows
from mmsdk.data.streaming import open_stream

def own() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) // 1024

def streamed(path: Path):
    config = DataConfig(path=path, streaming=StreamingConfig(steps_per_epoch=50, buffer=16))
    epoch = open_stream(config, lambda row: True).epoch((0, 0, 0), 8)
    return (row for step in epoch for part in step for row in part)

small, large = map(Path, sys.argv[1:])
for read in (streamed, open_rows):
    for row in read(small):  # whatever is needed once
        row.values["image"]
    rows = read(large)  # a table is converted here, which takes more
    before, size, most = own(), 0, 0
    for row in rows:
        size, most = size + len(row.values["image"]), max(most, own())
    print(size // 2**20, most - before)
"""


def written(folder: Path, suffix: str, size: int) -> Path:
    rng = np.random.default_rng(0)
    rows = [{"id": f"{number:05}", "image": rng.bytes(size)} for number in range(COUNT)]
    path = folder / f"{size}{suffix}"
    if suffix == ".tar":
        return shards.as_tar(path, rows)
    pa.parquet.write_table(pa.Table.from_pylist(rows), path, row_group_size=20)  # of 5 MiB
    return path


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="tells own memory from mapped files in Linux only")
@pytest.mark.parametrize("suffix", [".parquet", ".tar"])
def test_memory_does_not_grow_with_the_data(tmp_path: Path, suffix: str) -> None:
    command = [sys.executable, "-c", MEASURED, *(str(written(tmp_path, suffix, size)) for size in (8, SIZE))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        read, grown = map(int, line.split())
        assert read == 100 and grown < 40
