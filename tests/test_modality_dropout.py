"""Rows lose streams in training: how often, never all, and the same in any number of processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import mmsdk
from mmsdk.containers import Batch
from mmsdk.training import steps
from mmsdk.training.modality_dropout import without_streams
from tests.programs import made_up

MANY = 20_000


def batch(**rows: Tensor) -> Batch:
    count = len(next(iter(rows.values())))
    targets = torch.arange(count)
    return Batch([f"{place}" for place in range(count)], {name: {} for name in rows}, rows, {}, {"kind": targets})


def whole(count: int, *names: str) -> Batch:
    return batch(**{name: torch.arange(count) for name in names})


def lost(given: Batch, **shares: float) -> Batch:
    return without_streams(given, shares, [0, 1, 0], rank=0, processes=1)


def test_nothing_is_lost_where_nothing_is_asked_for() -> None:
    given = whole(4, "a", "b")
    assert lost(given) is given and lost(given, a=0.0) is given


def test_streams_are_lost_as_often_as_asked_for_and_all_else_stays() -> None:
    given = whole(MANY, "a", "b", "c")
    found = lost(given, a=0.3, b=0.1)
    gone = {name: rows < 0 for name, rows in found.rows.items()}
    assert gone["a"].float().mean() == pytest.approx(0.3, abs=0.015)
    assert gone["b"].float().mean() == pytest.approx(0.1, abs=0.01)
    assert not gone["c"].any()
    for name, rows in found.rows.items():
        assert torch.equal(rows[~gone[name]], given.rows[name][~gone[name]])
    assert (gone["a"] & gone["b"]).float().mean() == pytest.approx(0.03, abs=0.01)
    assert found._replace(rows=given.rows) == given


def test_a_row_keeps_at_least_one_of_the_streams_that_it_has() -> None:
    places = torch.arange(MANY)
    here = torch.rand(MANY, 2, generator=torch.Generator().manual_seed(0)) > 0.4
    given = batch(a=places.where(here[:, 0], -1), b=places.where(here[:, 1], -1))
    found = torch.stack(list(lost(given, a=0.9, b=0.9).rows.values()), dim=1)
    assert torch.equal((found >= 0).any(dim=1), here.any(dim=1))
    assert not (found[~here] >= 0).any()
    both = here.all(dim=1)
    kept = (found[both] >= 0).float().mean(dim=0)
    assert kept.tolist() == pytest.approx([0.505, 0.505], abs=0.02)  # 0.1, and half of the 0.81 that would lose both


@pytest.mark.parametrize("count", [8, 7, 1])
def test_processes_draw_what_one_would(count: int) -> None:
    shares = {"a": 0.5, "b": 0.2}
    alone = without_streams(whole(count, "a", "b"), shares, [3, 4, 0], 0, 1)
    each = -(-count // 2)
    parts = [without_streams(whole(each, "a", "b"), shares, [3, 4, 0], rank, 2) for rank in range(2)]
    for name in ("a", "b"):
        together = torch.cat([part.rows[name] >= 0 for part in parts])[:count]
        assert torch.equal(together, alone.rows[name] >= 0)


def test_each_step_draws_anew() -> None:
    given = whole(64, "a", "b")
    found = [without_streams(given, {"a": 0.5}, [0, step, part], 0, 1) for step in range(2) for part in range(2)]
    assert len({tuple(each.rows["a"].tolist()) for each in found}) == 4


def test_a_schedule_goes_from_the_first_step_of_a_stage_to_its_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, float]] = []

    def noting(batch: Batch, shares: dict[str, float], *more: Any) -> Batch:
        seen.append(shares)
        return without_streams(batch, shares, *more)

    monkeypatch.setattr(steps, "without_streams", noting)
    given = made_up.pipeline(batch_size=8, epochs=2, modality_dropout={"text": {"end": 0.6}, "image": 0.25})
    given |= {"heads": {"colour": made_up.COLOUR}, "stages": [{"name": "one", "epochs": 1}, {"name": "other"}]}
    mmsdk.train(given, made_up.samples(16), out=tmp_path, show=False)
    assert [shares["text"] for shares in seen] == pytest.approx([0.0, 0.6, 0.0, 0.2, 0.4, 0.6])
    assert {shares["image"] for shares in seen} == {0.25}


def test_only_training_loses_streams(tmp_path: Path) -> None:
    """With a rate of almost nothing, what is measured is the same."""
    figures = []
    for share in (0.0, 0.9):
        given = made_up.pipeline(learning_rate=1e-12, modality_dropout={"text": share})
        given["heads"] = {"colour": made_up.COLOUR}
        rows = {"train": made_up.samples(16), "valid": made_up.samples(16, seed=1)}
        figures.append(mmsdk.train(given, rows, out=tmp_path / f"{share}", show=False).metrics)
    assert figures[0] == pytest.approx(figures[1], rel=1e-5)
