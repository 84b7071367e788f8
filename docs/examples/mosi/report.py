"""Fusions, decision rules and single streams on mosi, 5 seeds, beside logistic regression. A report, not a contest.

    python docs/examples/mosi/report.py --data data/mosi/samples.jsonl

Settings are those of pipeline.yaml, fixed beforehand; the last epoch counts; nothing is chosen by test accuracy.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import mmsdk

STREAMS = ["text", "audio", "video"]
HEAD = {"type": "classification", "target": "label"}
FUSIONS = ["concat", "mean", "product", "gated", "transformer", "cross_attention"]
CONTESTANTS: dict[str, dict[str, Any]] = {
    **{f"{fusion}": {"fusion": {"type": fusion, "width": 64}, "heads": {"sentiment": HEAD}} for fusion in FUSIONS},
    **{
        rule: {"fusion": None, "heads": {"sentiment": HEAD | {"reads": STREAMS, "decision": {"type": rule}}}}
        for rule in ("decision_mean", "decision_product")
    },
    **{f"{stream} alone": {"fusion": None, "heads": {"sentiment": HEAD | {"reads": [stream]}}} for stream in STREAMS},
}


def accuracies(data: Path, changes: Mapping[str, Any], seeds: Sequence[int]) -> list[float]:
    """Test accuracy of one contestant for each seed."""
    plain = mmsdk.load_config(Path(__file__).with_name("pipeline.yaml")).model_dump(mode="json")
    found = []
    for seed in seeds:
        training = plain["training"] | {"seed": seed}
        config = plain | {"data": {"path": str(data.absolute()), "split_column": "split"}, "training": training}
        with tempfile.TemporaryDirectory() as folder:
            metrics = mmsdk.train(config | changes, out=Path(folder) / "run", show=False).metrics
        found.append(metrics["test/sentiment/accuracy"])
    return found


def floors(data: Path) -> dict[str, float]:
    """Test accuracy of logistic regression, as scikit-learn sets it up, on standardised features."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows = [json.loads(line) for line in data.read_text().splitlines()]
    labels = {split: [row["label"] for row in rows if row["split"] == split] for split in ("train", "test")}
    found = {"majority": max(labels["test"].count(label) for label in set(labels["test"])) / len(labels["test"])}
    for streams in (STREAMS, *([stream] for stream in STREAMS)):
        features = {
            split: np.array(
                [np.concatenate([row[stream] for stream in streams]) for row in rows if row["split"] == split]
            )
            for split in ("train", "test")
        }
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(
            features["train"], labels["train"]
        )
        found["logistic regression, " + "+".join(streams)] = float(model.score(features["test"], labels["test"]))
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data/mosi/samples.jsonl"))
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    for name, accuracy in floors(options.data).items():
        print(f"{name:<44}{accuracy:.3f}", flush=True)
    for name, changes in CONTESTANTS.items():
        runs = accuracies(options.data, changes, range(options.seeds))
        spread = statistics.stdev(runs) if len(runs) > 1 else 0.0
        print(f"{name:<44}{statistics.mean(runs):.3f} +- {spread:.3f}", flush=True)
