"""The examples that need this plugin: what a reader types, on a small random model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mmsdk

EXAMPLES = Path(__file__).parents[3] / "docs/examples"


def test_clip_is_fine_tuned_by_a_config(clip: Path, tmp_path: Path, picture: Callable[..., Any]) -> None:
    rows = []
    for number, (word, split) in enumerate(zip(["red", "blue", "green", "dog", "cat", "house"], "ttttvv", strict=True)):
        picture(number).save(tmp_path / f"{number}.png")
        names = {"t": "train", "v": "valid"}
        rows.append({"image": f"{number}.png", "caption": f"a photo of the {word}", "split": names[split]})
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    parts = [f"streams.{name}.{part}" for name in ("image", "caption") for part in ("modality", "encoder")]
    overrides = [f"{part}.model={clip}" for part in parts]
    overrides += [f"data.path={tmp_path / 'pairs.jsonl'}", "training.epochs=2", "training.threads=1"]
    trained = mmsdk.train(EXAMPLES / "clip/pipeline.yaml", out=tmp_path / "run", overrides=overrides, show=False)
    assert 0 <= trained.metrics["valid/near/recall_at_1"] <= trained.metrics["valid/near/recall_at_5"] == 1
    before = mmsdk.Pipeline.from_config(mmsdk.load_config(EXAMPLES / "clip/pipeline.yaml", overrides))
    after = mmsdk.Pipeline.load(tmp_path / "run")
    sample = {"caption": "a photo of the dog", "image": str(tmp_path / "3.png")}
    one, other = before.embed(sample), after.embed(sample)
    assert all(0 < (one[name] - other[name]).abs().max() < 0.1 for name in one)  # 1e-5 moves it a little


def test_the_page_shows_the_config_of_its_sentences() -> None:
    """Both towers and both modalities name one model; a page that is edited in one place only would not."""
    for example, count in (("clip", 4), ("mosi_text", 2)):
        config = mmsdk.load_config(EXAMPLES / example / "pipeline.yaml")
        parts = [part for stream in config.streams.values() for part in (stream.modality, stream.encoder)]
        models = [getattr(part, "model") for part in parts]  # noqa: B009
        assert len(models) == count and len(set(models)) == 1
