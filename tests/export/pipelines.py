"""Small pipelines with made-up rows, to be exported."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import mmsdk
from mmsdk.data.samples import Row, as_row
from mmsdk.pipeline.modalities import Modalities

TEXT = {"modality": "text", "encoder": {"type": "bag", "width": 8}}
NUMBERS = {"modality": "features", "encoder": {"type": "mlp", "width": 8, "hidden": 6}}
CONCAT = {"type": "concat", "width": 8}
LABEL = {"type": "classification", "target": "label"}


def config(**parts: Any) -> dict[str, Any]:
    streams = parts.pop("streams", {"words": TEXT, "numbers": NUMBERS})
    return {"streams": streams, "fusion": parts.pop("fusion", CONCAT), "heads": parts.pop("heads", {"y": LABEL})}


def sample(number: int) -> dict[str, Any]:
    random = np.random.default_rng(number)
    length = 1 + number % 5
    return {
        "id": f"r{number}",
        "words": " ".join(f"w{word}" for word in random.integers(0, 9, size=length)),
        "type": f"w{number % 4} w1",
        "numbers": random.normal(size=(1 + number % 7, 3)).tolist(),
        "age": number % 9,
        "town": ("Bonn", "Aachen")[number % 2],
        "picture": random.random((16, 24, 3)),
        "lines": [f"w{word} w2" for word in range(1 + number % 3)],
        "label": ("a", "b", "c")[number % 3],
        "labels": ["a", "b"][: number % 3],
        "size": float(number % 11),
        "steps": [("O", "B")[word % 2] for word in range(length)],
    }


def rows(count: int = 24) -> list[Row]:
    return [as_row(sample(number), str(number)) for number in range(count)]


def pipeline(parts: dict[str, Any], seed: int = 0) -> mmsdk.Pipeline:
    """A pipeline that was fitted, with weights as they begin."""
    checked = mmsdk.load_config(parts).resolve()
    torch.manual_seed(seed)
    return mmsdk.Pipeline(checked, Modalities(checked).fit(rows)).eval()
