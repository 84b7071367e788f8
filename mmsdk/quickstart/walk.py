"""The walk through the four steps, and the table at its end."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from mmsdk.data.samples import Row
from mmsdk.errors import DataError

HEADS = ("answer", "image_alone", "text_alone")


def walk(folder: Path) -> dict[str, Any]:
    """Prepare, build, pre-train, fine-tune, in a folder that is new; says what it does on stderr.

    Raises:
        DataError: the folder is there already, or scikit-learn is missing.
    """
    from mmsdk.data.splits import load_splits
    from mmsdk.quickstart.digits import SPLITS, load_digits, write_data
    from mmsdk.quickstart.floors import floors

    started = time.perf_counter()
    if folder.exists() and any(folder.iterdir()):
        raise DataError(f"{folder} is not empty: choose another folder with --out")
    load_digits()
    say(f"1/4 prepare the data: scikit-learn's handwritten digits with questions, into {folder}")
    write_data(folder)
    config_path = folder / "pipeline.yaml"
    config_path.write_text(files("mmsdk.quickstart").joinpath("pipeline.yaml").read_text())

    from mmsdk.config.file import load_config

    config = load_config(config_path)
    assert config.data is not None
    splits = load_splits(config.data)
    counts = ", ".join(f"{len(rows)} {name} ({len(SPLITS[name])} pictures)" for name, rows in splits.items())
    say(f"    rows: {counts}; 15 % lack the picture or the question")
    floor = floors(splits["train"], splits["test"])
    say(f"    logistic regression on one stream alone: image {floor['image']:.3f}, text {floor['text']:.3f}")
    say(f"2/4 build the model: {config_path}: a CNN and a GRU, concatenated, and four heads")
    say("3/4 pre-train (pictures with descriptions, contrastive), 4/4 fine-tune (answers)")

    from mmsdk.training.loop import train

    trained = train(config_path, out=folder / "run")
    table = accuracy_table(trained.pipeline, splits["test"])
    example = _example(splits["test"])
    shown = {column: str(value) for column, value in example.items()}
    prediction = trained.pipeline.predict([shown])[0]["answer"]
    return {
        "folder": str(folder),
        "run": str(trained.run),
        "metrics": trained.metrics,
        "floors": floor,
        "accuracy": table,
        "example": {**shown, "answer": prediction.value, "confidence": prediction.confidence},
        "seconds": time.perf_counter() - started,
    }


def accuracy_table(pipeline: Any, rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Accuracy of each head on complete rows, on rows without picture, and on rows without question."""
    from mmsdk.pipeline.prediction import predict

    parts: dict[str, list[Row]] = {"complete": [], "image absent": [], "text absent": []}
    for row in rows:
        absent = [name for name in ("image", "text") if row.value(name) is None]
        parts[f"{absent[0]} absent" if absent else "complete"].append(row)
    table: dict[str, dict[str, float]] = {head: {} for head in HEADS}
    for part, members in parts.items():
        results = list(predict(pipeline, members, heads=HEADS))
        for head in HEADS:
            judged = [
                result.predictions[head].value == row.values["answer"]
                for result, row in zip(results, members, strict=True)
                if head in result.predictions
            ]
            if judged:
                table[head][part] = sum(judged) / len(judged)
    return table


def _example(rows: Sequence[Row]) -> dict[str, Any]:
    row = next(row for row in rows if len({"image", "text"} & set(row.values)) == 2)
    assert row.folder is not None
    picture = row.folder / row.values["image"]
    near = picture.relative_to(Path.cwd()) if picture.is_relative_to(Path.cwd()) else picture
    return {"image": near, "text": row.values["text"]}


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
