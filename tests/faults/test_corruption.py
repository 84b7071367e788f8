"""F3: checkpoints and saved pipelines of which something was cut, flipped, removed or exchanged are never used."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import mmsdk
from mmsdk.errors import CheckpointError
from mmsdk.folders import MANIFEST
from mmsdk.training.checkpoint import Checkpoints
from tests.faults.tally import Tally
from tests.programs import made_up

CHECKPOINT = ["model.safetensors", "optimizer.json", "optimizer.safetensors", "position.json", MANIFEST]
PIPELINE = ["pipeline.json", "model.safetensors", "modalities.json", "modalities.safetensors", MANIFEST]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with two checkpoints, of step 3 and step 6."""
    folder = tmp_path_factory.mktemp("run")
    mmsdk.train(made_up.pipeline(epochs=2), made_up.samples(20), out=folder, show=False)
    return folder


def damage(path: Path, rng: np.random.Generator) -> str:
    """Do something to a file, and say what."""
    whole = path.read_bytes()
    place = int(rng.integers(len(whole)))

    def cut() -> None:
        path.write_bytes(whole[:place])

    def flip() -> None:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << int(rng.integers(8))]) + whole[place + 1 :])

    def flip_all() -> None:
        path.write_bytes(bytes(byte ^ 1 for byte in whole))

    def zeros() -> None:  # what some file systems leave after a loss of power
        path.write_bytes(bytes(len(whole)))

    def insert() -> None:
        path.write_bytes(whole[:place] + rng.bytes(1) + whole[place:])

    def repeat() -> None:
        path.write_bytes(whole + whole)

    def remove() -> None:
        path.unlink()

    def become_a_folder() -> None:
        path.unlink()
        path.mkdir()

    def add() -> None:
        path.with_name("more").write_bytes(whole)

    kinds: list[Callable[[], None]] = [cut, flip, flip_all, zeros, insert, repeat, remove, become_a_folder, add]
    kind = kinds[int(rng.integers(len(kinds)))]
    kind()
    return f"{path.name}: {kind.__name__} at {place}"


@pytest.mark.faults("F3")
def test_damaged_checkpoints_are_passed_over(tally: Tally, run: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(tally.size(150, 1_500)):
        checkpoints = Checkpoints(shutil.copytree(run / "checkpoints", tmp_path / "checkpoints"), keep=2)
        told: list[CheckpointError] = []
        name = damage(checkpoints.path(6) / CHECKPOINT[number % len(CHECKPOINT)], rng)
        with tally.case(name):
            assert checkpoints.newest(told.append) == checkpoints.path(3)
            assert len(told) == 1 and "step-00000006" in str(told[0])
        shutil.rmtree(tmp_path / "checkpoints")


@pytest.mark.faults("F3")
def test_a_file_of_another_checkpoint_is_none_of_this_one(tally: Tally, run: Path, tmp_path: Path) -> None:
    """Each by itself is whole."""
    for file in CHECKPOINT:
        checkpoints = Checkpoints(shutil.copytree(run / "checkpoints", tmp_path / file), keep=2)
        shutil.copy(checkpoints.path(3) / file, checkpoints.path(6) / file)
        with tally.case(file):
            same = (checkpoints.path(3) / file).read_bytes() == (run / "checkpoints/step-00000006" / file).read_bytes()
            assert checkpoints.newest() == checkpoints.path(6 if same else 3)


@pytest.mark.faults("F3")
def test_damaged_pipelines_are_not_opened(tally: Tally, run: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    whole, unread = mmsdk.Pipeline.load(run).fingerprint(), 0
    for number in range(tally.size(50, 500)):
        folder = shutil.copytree(run / "pipeline", tmp_path / "pipeline")
        name = damage(folder / PIPELINE[number % len(PIPELINE)], rng)
        with tally.case(name):
            try:
                found = mmsdk.Pipeline.load(folder).fingerprint()
            except CheckpointError:
                continue
            finally:
                shutil.rmtree(tmp_path / "pipeline")
            assert found == whole
            assert ": add" in name or name.startswith(MANIFEST)  # at the line of the model card, which is not read
            unread += 1
    assert unread < tally.tried / 5
