"""Thousands of damaged files, read in a process of its own: a crash in FFmpeg would end that."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture(scope="session")
def seeds(tmp_path_factory: pytest.TempPathFactory, movie: Callable[..., bytes]) -> Path:
    """A folder of small files of each kind, with pictures that move and a sound."""
    folder = tmp_path_factory.mktemp("seeds")
    rng = np.random.default_rng(0)
    texture = rng.integers(0, 256, (32, 48, 3), dtype=np.uint8)
    pictures = np.stack([np.roll(texture, 3 * step, axis=1) for step in range(10)])
    sound = (0.3 * rng.standard_normal(10_000)).astype(np.float32)
    for format, codec in (("mp4", None), ("webm", None), ("avi", None), ("mp4", "mpeg4"), ("webm", "libvpx-vp9")):
        file = movie(pictures, sound, format=format, codec=codec, rate=8_000)
        (folder / f"{codec or 'usual'}.{format}").write_bytes(file)
    front = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    (folder / "fragments.mp4").write_bytes(movie(pictures, sound, rate=8_000, options=front))
    (folder / "usual.mov").write_bytes(movie(pictures, sound, format="mov", rate=8_000))
    return folder


def mutations(seeds: Path, first: int, last: int) -> dict[str, Any]:
    program = Path(__file__).parent / "mutations.py"
    command = [sys.executable, str(program), str(seeds), str(first), str(last)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1_200)
    *_, died = done.stderr.split() or ["none"]
    assert done.returncode == 0, f"exit code {done.returncode} at {died}:\n{done.stderr[-3000:]}"
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def check(found: dict[str, Any], count: int) -> None:
    assert found["read"] + found["refused"] == 5 * count
    assert found["read"] > count / 2 and found["refused"] > count / 2
    assert found["slowest"] < 2 and found["growth"] < 300


def test_mutated_files_raise_nothing_but_decode_errors(seeds: Path) -> None:
    check(mutations(seeds, 0, 150), 150)


@pytest.mark.slow
@pytest.mark.timeout(1_500)
def test_many_mutated_files_raise_nothing_but_decode_errors(seeds: Path) -> None:
    found = mutations(seeds, 0, 2_000)
    print(found)
    check(found, 2_000)
