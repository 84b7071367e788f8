"""The benchmarks run, and compare equal things. How fast anything is, is no matter of a test."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from benchmarks.contrastive_loss import MISSING
from benchmarks.measuring import NAMES
from benchmarks.record import PAGE, page, recorded

ROOT = Path(__file__).parents[1]
GOALS: dict[str, list[float | None]] = {
    "absent_rows": [0.45],
    "cached_images": [1 / 5, None],
    "contrastive_loss": [0.7, 1 / 20, 0.7, 1 / 20, 0.7, 1 / 20, 1.0],
    "dual_encoder_on_gpu": [None] * 4,
    "exact_search": [1 / 8, 1 / 2.5, None, None],
    "feature_cache": [1 / 4.5, None, None],
    "file_pieces": [None, None],
    "frozen_encoders": [1 / 4.5, 1 / 8, 1.2],
    "fusion_growth": [2.2, 3.2, None],
    "gradient_caching": [1.4, 1 / 20],
    "log_mel": [1 / 4, None],
    "onnx_runtime": [0.5],
    "padding": [1 / 2.5, 1 / 0.9, 1 / 1.5, 1 / 0.9],
    "serving": [1 / 2, 1.0, 1 / 0.9, 1.1],
    "sharding": [None, None],
    "shared_images": [1 / 5, None],
    "subsets": [1.5],
    "tables": [1.0, None],
    "text_embedding": [None, None],
    "training_loop": [1.02, None, None, None, 0.9, 0.9],
}


def test_each_benchmark_is_here() -> None:
    assert list(GOALS) == NAMES


@pytest.mark.slow
@pytest.mark.parametrize("name", GOALS)
def test_both_sides_compute_the_same(name: str) -> None:
    command = [sys.executable, "-m", "benchmarks", name, "--quick", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)["benchmarks"]
    assert [result["goal"] for result in results] == pytest.approx(GOALS[name])
    for result in results:
        if result["ratio"] is None:
            missing = {"no GPU": torch.cuda.is_available(), MISSING: find_spec("open_clip") is not None}
            assert missing[result["note"]] is False
            continue
        assert result["equal"], result["name"]
        low, high = result["interval"]
        assert 0 < low <= result["ratio"] <= high
        assert result["met"] == (None if result["goal"] is None else result["ratio"] <= result["goal"])


def test_the_page_is_made_from_what_was_recorded() -> None:
    assert set(recorded()) <= set(NAMES)
    assert PAGE.read_text(encoding="utf-8") == page(recorded()), "python -m benchmarks.record writes it anew"


def test_what_quick_measures_is_not_recorded() -> None:
    command = [sys.executable, "-m", "benchmarks", "subsets", "--quick", "--record"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and "leave --quick or --record out" in done.stderr
