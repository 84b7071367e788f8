"""Runs of this example beside two floors: the name of the nearest training picture, by pixels and by the run's vectors.

python docs/examples/emoji_captions/floors.py --data MANIFEST RUN [RUN ...]

Words are compared as they stand in the table, so that a word which was never seen in training counts as wrong.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import mmsdk

Row = dict[str, Any]


def words(text: str) -> list[str]:
    """As the tokenizer `words` cuts a text."""
    return re.findall(r"\w+|[^\w\s]+", text.lower())


def figures(said: Sequence[str], true: Sequence[str]) -> tuple[float, float]:
    """The mean F1 of words, and the share of names that are right to the last word."""
    pairs = [(words(one), words(other)) for one, other in zip(said, true, strict=True)]
    f1 = [2 * (Counter(one) & Counter(other)).total() / (len(one) + len(other)) for one, other in pairs]
    return sum(f1) / len(f1), sum(one == other for one, other in pairs) / len(pairs)


def vectors(pipeline: mmsdk.Pipeline, rows: Sequence[Row], folder: Path) -> tuple[Tensor, Tensor]:
    """Of each picture its pixels [rows, 3 * height * width], and what the encoder makes of it, at length 1."""
    modality, encoder = pipeline.modalities.streams["image"], pipeline.encoders["image"]
    inputs = modality.collate([modality.prepare(folder / row["image"]) for row in rows])
    with torch.inference_mode():
        pooled = torch.cat([encoder({"pixels": part}).pooled for part in inputs["pixels"].split(256)])
    return inputs["pixels"].flatten(1), torch.nn.functional.normalize(pooled, dim=1)


def report(data: Path, runs: Sequence[Path]) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """(who names it, which test rows) -> F1 and exact match of each run."""
    rows = [json.loads(line) for line in data.read_text(encoding="utf-8").splitlines()]
    train, test = ([row for row in rows if row["split"] == split] for split in ("train", "test"))
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for run in runs:
        pipeline = mmsdk.Pipeline.load(run)
        results = pipeline.predict([{"image": str(data.parent / row["image"])} for row in test])
        said = {"model": [result["caption"].value for result in results]}
        pairs = zip(vectors(pipeline, train, data.parent), vectors(pipeline, test, data.parent), strict=True)
        for name, (known, asked) in zip(("nearest pixels", "nearest vector"), pairs, strict=True):
            nearest = torch.cdist(asked, known).argmin(dim=1).tolist()
            said[name] = [train[place]["caption"] for place in nearest]
        for name, captions in said.items():
            for which, base in (("name is new", True), ("thing is new", False)):
                chosen = [place for place, row in enumerate(test) if row["base_in_train"] == base]
                pair = figures([captions[place] for place in chosen], [test[place]["caption"] for place in chosen])
                found.setdefault((name, which), []).append(pair)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("runs", type=Path, nargs="+")
    arguments = parser.parse_args()
    for (name, which), pairs in report(arguments.data, arguments.runs).items():
        for figure, values in zip(("token F1", "exact match"), zip(*pairs, strict=True), strict=True):
            mean, spread = torch.tensor(values).mean(), torch.tensor(values).std(correction=0)
            print(f"{which:14} {name:16} {figure:12} {mean:.3f} +- {spread:.3f}")
