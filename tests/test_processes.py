"""Several processes compute what one does."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import mmsdk
from mmsdk.data.sampling import batches, share, shuffled
from mmsdk.training.processes import gather
from tests.programs import made_up

JOBS = ("halves", "in_parts", "with_bad_samples", "learning_rules", "slowed", "blended", "foretelling", "by_length")


def log(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def weights(run: Path) -> dict[str, Tensor]:
    return load_file(run / "pipeline" / "model.safetensors")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Per number of processes, the folder of runs: one after the other in the same processes, warnings as errors."""
    folders = {count: tmp_path_factory.mktemp(f"of_{count}") for count in (1, 2)}
    for name in JOBS:
        config, rows = made_up.JOBS[name]()
        mmsdk.train(config, rows, out=folders[1] / name, show=False)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", str(port)]
    environment = os.environ | {"PYTHONWARNINGS": "error", "ACCELERATE_USE_CPU": "1", "OMP_NUM_THREADS": "1"}
    command = [*launch, made_up.__file__, str(folders[2]), *JOBS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "arning" not in done.stderr
    return folders


def test_the_made_up_case_is_the_hard_one() -> None:
    config, rows = made_up.halves()
    train = rows["train"]
    assert len(train) % config["training"]["batch_size"], "the last batch is full"
    assert any("colour" not in row for row in train) and any("shape" not in row for row in train)
    with_image = [place for place, row in enumerate(train) if row.get("image") is not None]
    own: list[int] = []
    for stage in range(len(config["stages"])):
        for batch in batches(shuffled(len(train), 0, stage, 0), 8):
            own += share(batch, rank=1, processes=2)[0]
    assert with_image and not set(with_image) & set(own)


@pytest.mark.parametrize("job", JOBS)
def test_two_processes_have_the_losses_of_one(runs: dict[int, Path], job: str) -> None:
    one, two = log(runs[1] / job), log(runs[2] / job)
    steps = [entry["total"] for entry in one if entry["event"] == "step"]
    assert len(steps) >= 20 and steps == list(range(1, len(steps) + 1))
    assert [entry["event"] for entry in one] == [entry["event"] for entry in two]
    for mine, other in zip(one, two, strict=True):
        assert other["losses"] == pytest.approx(mine["losses"], rel=1e-6, abs=1e-6)
        assert other.get("norm", 0.0) == pytest.approx(mine.get("norm", 0.0), rel=2e-6)
        assert other.get("metrics", {}) == pytest.approx(mine.get("metrics", {}), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("job", JOBS)
def test_two_processes_have_the_weights_of_one(runs: dict[int, Path], job: str) -> None:
    one, two = weights(runs[1] / job), weights(runs[2] / job)
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        assert torch.allclose(two[name], tensor, rtol=0, atol=1e-6), name


@pytest.mark.parametrize("job", JOBS)
def test_two_processes_have_the_metrics_of_one(runs: dict[int, Path], job: str) -> None:
    one, two = (json.loads((runs[count] / job / "metrics.json").read_text())["metrics"] for count in (1, 2))
    assert one and two == pytest.approx(one, rel=1e-6, abs=1e-6)


def test_a_batch_in_parts_teaches_what_it_teaches_as_a_whole(tmp_path: Path) -> None:
    for parts in (1, 2, 4):
        config = made_up.pipeline(epochs=2, accumulation=parts, clip=None) | {"heads": {"colour": made_up.COLOUR}}
        mmsdk.train(config, made_up.samples(32, untold=0.0), out=tmp_path / f"{parts}", show=False)
    for parts in (2, 4):
        for name, tensor in weights(tmp_path / "1").items():
            assert torch.allclose(weights(tmp_path / f"{parts}")[name], tensor, rtol=0, atol=1e-6), name


def test_each_bad_sample_is_listed_once_by_whichever_process_met_it(runs: dict[int, Path]) -> None:
    _, rows = made_up.with_bad_samples()
    bad = sorted(row["id"] for split in rows.values() for row in split if row.get("numbers") == made_up.UNREADABLE)
    assert bad
    for folder in runs.values():
        lines = (folder / "with_bad_samples" / "bad_samples.jsonl").read_text().splitlines()
        assert sorted(json.loads(line)["id"] for line in lines) == bad


def test_a_process_alone_gathers_what_it_has() -> None:
    mine = torch.rand(3, 2, requires_grad=True)
    assert gather(mine) is mine
