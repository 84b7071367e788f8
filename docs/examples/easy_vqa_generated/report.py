"""Runs on a split beside the same rows with other pictures, and a floor that never sees a picture.

python docs/examples/easy_vqa_generated/report.py --data MANIFEST RUN [RUN ...]
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mmsdk

Row = dict[str, Any]


def rows_of(data: Path, split: str) -> list[Row]:
    rows = [json.loads(line) for line in data.read_text(encoding="utf-8").splitlines()]
    return [{**row, "image": str(data.parent / row["image"])} for row in rows if row["split"] == split]


def shuffled(rows: Sequence[Row]) -> list[Row]:
    """The same questions and answers; all questions about one picture are asked of another one."""
    images = list(dict.fromkeys(row["image"] for row in rows))
    others = images.copy()
    random.Random(0).shuffle(others)
    other = dict(zip(images, others, strict=True))
    return [{**row, "image": other[row["image"]]} for row in rows]


def right(run: Path, rows: Sequence[Row]) -> float:
    """The share of rows whose answer is right to the last letter, whatever head gives it."""
    results = mmsdk.Pipeline.load(run).predict(rows, heads=["answer"], batch_size=320)
    return sum(str(found["answer"].value) == row["answer"] for found, row in zip(results, rows, strict=True)) / len(
        rows
    )


def question_only(train: Sequence[Row], rows: Sequence[Row]) -> float:
    """Logistic regression on the words of the question."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(CountVectorizer(ngram_range=(1, 2)), LogisticRegression(max_iter=1000))
    model.fit([row["question"] for row in train], [row["answer"] for row in train])
    return float(model.score([row["question"] for row in rows], [row["answer"] for row in rows]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="valid")
    parser.add_argument("runs", type=Path, nargs="+")
    arguments = parser.parse_args()
    asked = rows_of(arguments.data, arguments.split)
    print(f"{'question only':30} {question_only(rows_of(arguments.data, 'train'), asked):.4f}")
    for run in arguments.runs:
        print(f"{run.name:30} {right(run, asked):.4f}   with other pictures {right(run, shuffled(asked)):.4f}")
