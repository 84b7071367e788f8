"""How two sides are compared: round by round, by processor time, as a ratio with an interval."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice

import numpy as np

RESAMPLES = 10_000


@dataclass(frozen=True)
class Result:
    """What a benchmark found.

    ratio: ours / theirs, the median over the rounds; below 1 is cheaper. interval: where that median lies with a
    probability of 95 %. goal: the ratio to reach, None where it is only told. equal: whether both sides computed the
    same.
    """

    name: str
    ratio: float
    interval: tuple[float, float]
    goal: float | None
    equal: bool
    milliseconds: tuple[float, float]
    """Ours and theirs, of processor time: the medians over the rounds."""
    note: str

    @property
    def met(self) -> bool | None:
        return None if self.goal is None else self.ratio <= self.goal


def interleaved(sides: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """What each side gives in each round. All take turns within a round, each round in another order."""
    names = list(sides)
    found: dict[str, list[float]] = {name: [] for name in names}
    orders = (names[first:] + names[:first] for first in (number % len(names) for number in count()))
    for number, order in enumerate(islice(orders, rounds)):
        for name in order if number % 2 == 0 else reversed(order):
            gc.collect()
            found[name].append(sides[name]())
    return found


def ratio_of(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """The median of the rounds' ratios and its 95 % interval, by bootstrap (Efron, "Bootstrap Methods", 1979)."""
    ratios = np.array(ours) / np.array(theirs)
    drawn = np.random.default_rng(0).choice(ratios, size=(RESAMPLES, len(ratios)))
    low, high = np.percentile(np.median(drawn, axis=1), [2.5, 97.5])
    return float(np.median(ratios)), (float(low), float(high))
