"""Batches of a number of tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import mmsdk
from mmsdk.data.lengths import LengthBatches
from mmsdk.training.journal import Journal


def drawn(rows: int = 2000, streams: int = 1, seed: int = 0) -> Any:
    """Log-normal lengths, sigma 0.8."""
    return np.clip(np.random.default_rng(seed).lognormal(3.5, 0.8, (rows, streams)).astype(np.int64), 1, 512)


@pytest.mark.parametrize("tokens", [1, 300, 4096, 10**7])
@pytest.mark.parametrize("streams", [1, 2, 3])
def test_every_row_comes_once_within_the_bound(streams: int, tokens: int) -> None:
    lengths = drawn(500, streams)
    lengths[::7, 0] = 0  # absent
    plan = LengthBatches(lengths, tokens)
    for epoch in range(3):
        batches = plan.epoch(0, 0, epoch)
        assert len(batches) == len(plan)
        assert sorted(place for batch in batches for place in batch) == list(range(500))
        for batch in batches:
            assert len(batch) == 1 or len(batch) * lengths[batch].max(0).sum() <= tokens


def test_an_epoch_is_a_function_of_its_numbers() -> None:
    plan, same = LengthBatches(drawn(), 4096), LengthBatches(drawn(), 4096)
    assert plan.epoch(3, 1, 2) == same.epoch(3, 1, 2)
    assert plan.epoch(3, 1, 2) != plan.epoch(3, 1, 3) != plan.epoch(4, 1, 3)


def test_little_of_a_batch_is_padding() -> None:
    lengths = drawn()
    plan = LengthBatches(lengths, 2048)
    padded = sum(len(batch) * lengths[batch].max() for batch in plan.epoch(0, 0, 0))
    assert lengths.sum() / padded == pytest.approx(plan.share, abs=0.02) and plan.share > 0.92
    by_rows = np.random.default_rng(0).permutation(2000).reshape(-1, 40)
    assert lengths.sum() / sum(40 * lengths[batch].max() for batch in by_rows) < 0.5
    assert len(plan) < 1.15 * lengths.sum() / 2048


def test_two_streams_pad_little_together() -> None:
    lengths = drawn(5000, 2)
    padded = sum(len(batch) * lengths[batch].max(0).sum() for batch in LengthBatches(lengths, 8192).epoch(0, 0, 0))
    shuffled = np.random.default_rng(0).permutation(5000).reshape(-1, 50)
    assert lengths.sum() / padded > 0.7
    assert lengths.sum() / sum(50 * lengths[batch].max(0).sum() for batch in shuffled) < 0.5


def test_short_rows_do_not_wait_for_long_ones() -> None:
    lengths = np.array([[2]] * 30 + [[500]] * 5)
    batches = LengthBatches(lengths, 1000).epoch(0, 0, 0)
    assert sorted(len(batch) for batch in batches) == [1, 2, 2, 30]


def config(**training: Any) -> dict[str, Any]:
    encoder = {"type": "transformer", "width": 16, "layers": 1, "heads": 2}
    return {
        "streams": {"text": {"modality": {"type": "text"}, "encoder": encoder}},
        "heads": {"label": {"type": "classification", "target": "label", "reads": ["text"]}},
        "training": {"epochs": 3, "batch_tokens": 64, "threads": 1} | training,
    }


def rows() -> list[dict[str, Any]]:
    lengths = drawn(60).ravel() // 4 + 1
    return [
        {"id": f"{n}", "text": "good " * int(length) if n % 2 else "bad " * int(length), "label": str(n % 2)}
        for n, length in enumerate(lengths)
    ]


def test_a_run_trains_on_them_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained = mmsdk.train(config(epochs=8), {"train": rows(), "valid": rows()}, out=tmp_path / "run")
    assert "batches of 64 tokens at most" in " ".join(capsys.readouterr().err.split())
    assert trained.metrics["valid/label/accuracy"] > 0.9


def test_a_run_goes_on_as_if_it_had_never_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = config(checkpoint={"every": 2})
    whole = mmsdk.train(given, rows(), out=tmp_path / "whole", show=False)
    step = Journal.step
    steps: list[int] = []

    def stopping(self: Journal, *arguments: Any) -> None:
        steps.append(self.job.position.total)
        if len(steps) == 9:
            raise KeyboardInterrupt
        step(self, *arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Journal, "step", stopping)
        mmsdk.train(given, rows(), out=tmp_path / "stopped", show=False)
    mmsdk.train(given, rows(), out=tmp_path / "stopped", resume=True, show=False)
    mine, other = (load_file(tmp_path / name / "pipeline" / "model.safetensors") for name in ("whole", "stopped"))
    assert all(torch.equal(other[name], tensor) for name, tensor in mine.items())
    assert whole.run == tmp_path / "whole"


@pytest.mark.parametrize("beside", [{"batch_size": 8}, {"group": "text"}])
def test_what_excludes_it_is_told(beside: dict[str, Any]) -> None:
    with pytest.raises(mmsdk.ConfigError, match=rf"batch_tokens' beside '{next(iter(beside))}': give one of them"):
        mmsdk.load_config(config(**beside))
