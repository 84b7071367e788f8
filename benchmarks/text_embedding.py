"""Vectors of texts of all lengths: `Pipeline.embed`, and sentence-transformers with the same encoder."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from sentence_transformers import SentenceTransformer

import mmsdk
from benchmarks.frozen_encoders import MINILM, texts
from benchmarks.measuring import Result, interleaved
from mmsdk.pipeline.prediction import Precision

TOLERANCES: dict[Precision, float] = {"float32": 1e-5, "bfloat16": 0.01}
LONGEST = 128


def run(quick: bool) -> list[Result]:
    torch.set_num_threads(1)
    given = texts(64 if quick else 2_048)
    theirs = SentenceTransformer(str(MINILM), device="cpu")
    theirs.max_seq_length = LONGEST
    pipeline = _pipeline()
    rows = [{"text": text} for text in given]
    found: dict[str, torch.Tensor] = {}

    def ours_embed(precision: Precision) -> None:
        pipeline.precision = precision
        found[precision] = pipeline.embed(rows)["text"]

    def theirs_embed() -> None:
        found["theirs"] = theirs.encode(given, convert_to_tensor=True, show_progress_bar=False)

    sides = {precision: _timed(partial(ours_embed, precision)) for precision in TOLERANCES}
    seconds = interleaved({**sides, "theirs": _timed(theirs_embed)}, 1 if quick else 7)
    wanted = F.normalize(found["theirs"], dim=1)
    words = sum(len(text.split()) for text in given) / len(given)
    return [
        Result.of(
            f"text_embedding: mmsdk, {precision} / sentence-transformers",
            seconds[precision],
            seconds["theirs"],
            goal=None,
            equal=torch.allclose(found[precision], wanted, rtol=0, atol=tolerance),
            note=f"MiniLM, {len(given):,} utterances of {words:.0f} words on average",
        )
        for precision, tolerance in TOLERANCES.items()
    ]


def _pipeline() -> mmsdk.Pipeline:
    """MiniLM as it is. A contrastive head compares two streams; the other one stays empty here."""
    stream: dict[str, Any] = {
        "modality": {"type": "transformers.tokens", "model": str(MINILM), "max_length": LONGEST},
        "encoder": {"type": "transformers.text", "model": str(MINILM)},
    }
    return mmsdk.Pipeline.from_config(
        {
            "streams": {"text": stream, "other": {"shared_with": "text", "column": "other"}},
            "heads": {"match": {"type": "contrastive", "reads": ["text", "other"], "width": None}},
        }
    )


def _timed(body: Callable[[], None]) -> Callable[[], float]:
    """Processor time."""

    def measured() -> float:
        start = time.process_time()
        body()
        return time.process_time() - start

    return measured
