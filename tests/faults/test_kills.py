"""F1: a run that is killed at random instants, again and again, comes to the very same end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.tally import SIZE, Tally
from tests.test_resume import killed, require_exact

KILLS = 11
"""In one run: a bit more than the ten that are wanted, as some find it at its end."""


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.faults("F1")
@pytest.mark.parametrize("seed", range(1, 3 if SIZE == "quick" else 11))
def test_runs_that_are_killed(tally: Tally, tmp_path: Path, seed: int) -> None:
    """Every second one has two processes. Many kills have to hit while a checkpoint is written."""
    found = killed(tmp_path, processes=1 + seed % 2, kills=KILLS, seed=seed)
    tally.tried += found["kills"]
    try:
        require_exact(found)
    except AssertionError:
        tally.lost += [f"run {seed}: {found}"] * found["kills"]
    tally.figure("most_steps_lost", found["most_steps_lost"])
    tally.sum("killed_in_a_save", found["in_a_save"])
    assert found["kills"] >= KILLS * 0.8 and found["in_a_save"] >= found["kills"] / 3
