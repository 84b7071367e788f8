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
from mmsdk.config.pipeline import DataConfig, StreamingConfig
from mmsdk.data.samples import open_rows
from mmsdk.data.streaming import open_stream

def own() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) // 1024

def read(path: Path) -> tuple[int, int]:
    # bytes, and the most memory on the way
    if sys.argv[3] == "table":
        rows = iter(open_rows(path))
    else:
        config = DataConfig(path=path, streaming=StreamingConfig(steps_per_epoch=50, buffer=16))
        epoch = open_stream(config, lambda row: True).epoch((0, 0, 0), 8)
        rows = (row for step in epoch for part in step for row in part)
    size = most = 0
    for row in rows:
        size, most = size + len(row.values["image"]), max(most, own())
    return size, most

read(Path(sys.argv[1]))  # whatever is needed once
before = own()
size, most = read(Path(sys.argv[2]))
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
@pytest.mark.parametrize("way", ["table", "stream"])
@pytest.mark.parametrize("suffix", [".parquet", ".tar"])
def test_memory_does_not_grow_with_the_data(tmp_path: Path, suffix: str, way: str) -> None:
    command = [sys.executable, "-c", MEASURED, *(str(written(tmp_path, suffix, size)) for size in (8, SIZE)), way]
    for _ in range(1 + (way == "table")):  # a Parquet file is converted the first time, which takes more
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
    read, grown = map(int, done.stdout.split())
    assert read == 100 and grown < 40
