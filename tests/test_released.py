"""Pipelines that each released version has saved still open, and say what they said then.

Run as a program (`uv run poe fixtures`), this file writes those of the current version, once: tests/fixtures/VERSION/,
per pipeline its config, the saved pipeline, samples and what was predicted of them.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import pytest

import mmsdk
from mmsdk.data.grouping import grouped
from mmsdk.data.samples import as_row

ROOT = Path(__file__).parent.parent
FIXTURES = Path(__file__).parent / "fixtures"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
EXACT = 1e-6
MOST_BYTES = 100_000

WORDS = {"modality": "text", "encoder": {"type": "bag", "width": 8}}
NUMBERS = {"modality": "features", "encoder": {"type": "mlp", "width": 8, "hidden": 6}}
PICTURE = {"modality": {"type": "image", "size": 8}, "encoder": {"type": "cnn", "width": 8, "layers": 2}}
TABLE = {
    "modality": {"type": "tabular", "numbers": ["age"], "categories": ["town"]},
    "encoder": {"type": "mlp", "width": 8},
}
LABEL = {"type": "classification", "target": "label"}
EACH = {"modality": {"type": "each", "of": "text"}, "encoder": {"type": "each", "of": WORDS["encoder"]}}
PIPELINES: dict[str, dict[str, Any]] = {
    "concat": {
        "streams": {
            "words": WORDS,
            "picture": PICTURE,
            "table": TABLE,
            "again": {"shared_with": "words", "column": "town"},
        },
        "fusion": {"type": "concat", "width": 8},
        "heads": {
            "label": LABEL,
            "size": {"type": "regression", "target": "size"},
            "tags": {"type": "multilabel", "target": "tags"},
        },
        "card": {"license": "mit"},
    },
    "attention": {
        "streams": {
            "words": WORDS | {"encoder": {"type": "transformer", "width": 8, "heads": 2, "layers": 1}},
            "picture": PICTURE | {"encoder": {"type": "vit", "patch": 4, "width": 8, "heads": 2, "layers": 1}},
            "numbers": NUMBERS,
        },
        "fusion": {"type": "cross_attention", "width": 8, "heads": 2, "layers": 1},
        "heads": {
            "label": LABEL,
            "near": {"type": "contrastive", "reads": ["words", "picture"], "width": 4},
            "belong": {"type": "matching", "reads": ["fused", "words", "picture"]},
            "hidden": {"type": "masked", "reads": ["fused.words"]},
        },
    },
    "decisions": {
        "streams": {"words": WORDS, "numbers": NUMBERS},
        "fusion": {"type": "gated", "width": 8},
        "heads": {
            name: LABEL | {"reads": ["fused", "words", "numbers"], "decision": {"type": f"decision_{name}"}}
            for name in ("mean", "product", "weighted", "stacking", "vote", "dempster_shafer")
        },
    },
    "sequences": {
        "group_by": {"key": "talk", "order": "place"},
        "streams": {
            "words": EACH,
            "numbers": {"modality": "features", "encoder": {"type": "rnn", "width": 8}, "column": "point"},
        },
        "fusion": {"type": "transformer", "width": 8, "heads": 2, "layers": 1},
        "heads": {"steps": {"type": "token_classification", "target": "label"}},
    },
    "captions": {
        "streams": {"picture": PICTURE, "words": WORDS | {"encoder": {"type": "cnn_rnn", "width": 8}}},
        "fusion": {"type": "imputed", "of": {"type": "mean", "width": 8}},
        "heads": {"caption": {"type": "captioning", "target": "words", "width": 8, "layers": 1, "heads": 2}},
    },
}


def sample(number: int, folder: Path) -> dict[str, Any]:
    """A made-up row; every third one lacks something."""
    from PIL import Image

    path = folder / f"{number % 4}.png"
    if not path.exists():
        Image.new("RGB", (8, 8), (60 * (number % 4), 200, 90)).save(path)
    values = {
        "id": f"r{number}", "talk": f"t{number // 4}", "place": number % 4,
        "words": " ".join(("red", "round", "old", "big", "blue")[place] for place in range(number % 3, number % 5 + 1))
        or "plain",
        "picture": path.name, "age": number % 7, "town": ("Bonn", "Aachen")[number % 2],
        "numbers": [[math.sin(number + place), number % 3 - 1.0] for place in range(1 + number % 4)],
        "point": [math.cos(number), 0.5], "label": "abc"[number % 3], "tags": ["x", "y"][: number % 3],
        "size": number % 5 / 5,
    }  # fmt: skip
    return {key: value for key, value in values.items() if number % 3 or key != ("words", "picture")[number % 2]}


def write(folder: Path) -> None:
    """Train each pipeline a little, save it, and note what it says."""
    for name, parts in PIPELINES.items():
        home = folder / name
        home.mkdir(parents=True)
        rows = [sample(number, home) for number in range(24)]
        places = [row | {"picture": str(home / row["picture"])} if "picture" in row else row for row in rows]
        settings = {"schema_version": 1, **parts, "training": {"epochs": 2, "batch_size": 8}}
        data = {"train": places[:16], "valid": places[16:]}
        with tempfile.TemporaryDirectory() as run:
            trained = mmsdk.train(settings, data, out=run, show=False)
            shutil.copytree(Path(run) / "pipeline", home / "pipeline")
        (home / "config.json").write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
        said = {"rows": rows[16:], "answers": answers(trained.pipeline, rows[16:], home)}
        (home / "said.json").write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")


def answers(pipeline: mmsdk.Pipeline, values: list[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """What the pipeline predicts of each sample, and its embeddings where it has any, in plain values."""
    rows = grouped([as_row(each, each["id"], folder=folder) for each in values], pipeline.config.group_by)
    heads = pipeline.config.heads.values()
    vectors = pipeline.embed(rows) if any(head.type_name() == "contrastive" for head in heads) else {}
    return [
        {
            "says": result.as_dict(),
            "embeddings": {name: vector[number].tolist() for name, vector in vectors.items()},
        }
        for number, result in enumerate(pipeline.predict(rows))
    ]


RELEASED = sorted(path.relative_to(FIXTURES).as_posix() for path in FIXTURES.glob("*/*/"))


def assert_same(found: Any, expected: Any, place: str) -> None:
    """Equal, with numbers to 1e-6."""
    if isinstance(expected, float):
        assert found == pytest.approx(expected, abs=EXACT, rel=0), place
    elif isinstance(expected, dict):
        assert list(found) == list(expected), place
        for key in expected:
            assert_same(found[key], expected[key], f"{place}.{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), place
        for number, (one, other) in enumerate(zip(found, expected, strict=True)):
            assert_same(one, other, f"{place}.{number}")
    else:
        assert found == expected, place


@pytest.mark.parametrize("name", RELEASED)
def test_a_released_pipeline_says_what_it_said(name: str) -> None:
    home = FIXTURES / name
    said = json.loads((home / "said.json").read_text(encoding="utf-8"))
    pipeline = mmsdk.Pipeline.load(home / "pipeline")
    assert said["answers"] and pipeline.about.metrics
    assert_same(json.loads(json.dumps(answers(pipeline, said["rows"], home))), said["answers"], name)


@pytest.mark.parametrize("name", RELEASED)
def test_its_config_is_still_one(name: str) -> None:
    home = FIXTURES / name
    config = mmsdk.load_config(json.loads((home / "config.json").read_text(encoding="utf-8")))
    saved = mmsdk.Pipeline.load(home / "pipeline").config
    assert (list(saved.streams), list(saved.heads)) == (list(config.streams), list(config.heads))


def test_every_release_has_left_its_pipelines() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = {VERSION, *re.findall(r"^## (\d+\.\d+\.\d+)", changelog, re.M)}
    assert versions <= {path.name for path in FIXTURES.iterdir()}, "uv run poe fixtures"
    assert {name.partition("/")[2] for name in RELEASED if name.startswith(f"{VERSION}/")} == set(PIPELINES)


def test_they_are_small_and_cover_the_main_components() -> None:
    sizes = {name: sum(p.stat().st_size for p in (FIXTURES / name).rglob("*") if p.is_file()) for name in RELEASED}
    assert max(sizes.values()) < MOST_BYTES, sizes
    text = json.dumps(PIPELINES)
    for part in ("bag", "transformer", "cnn", "vit", "rnn", "cnn_rnn", "mlp", "each", "tabular", "features", "image"):
        assert f'"{part}"' in text, part


if __name__ == "__main__":
    if (FIXTURES / VERSION).exists():
        raise SystemExit(f"tests/fixtures/{VERSION} is there: a released pipeline stays as it was written")
    with tempfile.TemporaryDirectory() as made:
        write(Path(made))
        shutil.copytree(made, FIXTURES / VERSION)
