"""Time matters: which way a digit moves cannot be told from one frame, and is told from eight."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

import mmsdk

SPLITS = {"train": 800, "valid": 100, "test": 400}
CHANCE = 0.5825
"""Above it, guessing 400 times between two gets once in two thousand: P(X >= 233 of 400) = 0.0006."""
ENCODERS: dict[str, tuple[dict[str, Any], int]] = {
    "transformer": ({"type": "video.frames", "image": {"type": "cnn", "width": 32, "layers": 2}}, 15),
    "rnn": ({"type": "video.frames", "temporal": "rnn", "image": {"type": "cnn", "width": 32, "layers": 2}}, 12),
    "conv3d": ({"type": "video.conv3d", "layers": 2}, 4),
}


@pytest.fixture(scope="session", params=[0])
def clips(
    request: pytest.FixtureRequest, movie: Callable[..., bytes], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A table of MP4 files of 8 frames, 16 x 16: one of scikit-learn's digits moves left or right by a pixel a frame,
    from anywhere, and what goes out comes in at the other side, so that each frame by itself looks the same either way.
    Every clip has a digit of its own."""
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(request.param)
    images = load_digits().images
    chosen = rng.permutation(len(images))
    rows: list[dict[str, Any]] = []
    for split, count in SPLITS.items():
        for number in range(count):
            direction = ("left", "right")[number % 2]
            canvas = np.zeros((16, 16), dtype=np.uint8)
            canvas[:8, :8] = images[chosen[len(rows)]] * (255 / 16)
            down, right = rng.integers(0, 16, 2)
            step = 1 if direction == "right" else -1
            frames = np.stack([np.roll(canvas, (down, right + step * time), axis=(0, 1)) for time in range(8)])
            path = folder / f"{len(rows)}.mp4"
            path.write_bytes(movie(np.repeat(frames[..., None], 3, axis=3)))
            rows.append({"clip": path.name, "direction": direction, "split": split})
    table = folder / "samples.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return table


def accuracy(clips: Path, out: Path, encoder: dict[str, Any], frames: int, epochs: int, seed: int = 0) -> float:
    """Of the test clips, after training from a config alone."""
    tree = {
        "streams": {
            "clip": {
                "modality": {"type": "video.clip", "size": 16, "frames": frames},
                "encoder": {**encoder, "width": 32, "dropout": 0.0},
            }
        },
        "heads": {"direction": {"type": "classification", "target": "direction", "reads": ["clip"]}},
        "data": {"path": str(clips), "split_column": "split"},
        "training": {"epochs": epochs, "batch_size": 16, "learning_rate": 0.003, "threads": 1, "seed": seed},
    }
    found = mmsdk.train(tree, out=out, show=False).metrics["test/direction/accuracy"]
    print(f"{encoder['type']} {encoder.get('temporal', '')} frames={frames} seed={seed}: {found:.4f}")
    return float(found)


@pytest.mark.slow
@pytest.mark.parametrize("name", ENCODERS)
def test_eight_frames_tell_the_direction(name: str, clips: Path, tmp_path: Path) -> None:
    encoder, epochs = ENCODERS[name]
    assert accuracy(clips, tmp_path / "run", encoder, 8, epochs) >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize("name", ENCODERS)
def test_one_frame_does_not(name: str, clips: Path, tmp_path: Path) -> None:
    encoder, epochs = ENCODERS[name]
    assert 1 - CHANCE <= accuracy(clips, tmp_path / "run", encoder, 1, epochs) <= CHANCE
