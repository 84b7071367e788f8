"""How sides are compared: round by round, as a ratio with an interval."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np

NAMES = [
    "absent_rows",
    "cached_images",
    "contrastive_loss",
    "dual_encoder_on_gpu",
    "exact_search",
    "feature_cache",
    "file_pieces",
    "frozen_encoders",
    "fusion_growth",
    "gradient_caching",
    "log_mel",
    "onnx_runtime",
    "padding",
    "serving",
    "sharding",
    "shared_images",
    "subsets",
    "tables",
    "text_embedding",
    "training_loop",
]
RESAMPLES = 10_000


@dataclass(frozen=True)
class Result:
    """What a benchmark found.

    ratio: ours / theirs, the median over the rounds; below 1 is cheaper. interval: where that median lies with a
    probability of 95 %. milliseconds: ours and theirs, the medians. goal: the ratio to reach, None where it is only
    told. equal: whether both sides computed the same. What this machine cannot measure has None in all of them.
    """

    name: str
    ratio: float | None
    interval: tuple[float, float] | None
    milliseconds: tuple[float, float] | None
    rounds: int
    goal: float | None
    met: bool | None
    equal: bool | None
    note: str

    @classmethod
    def not_measured(cls, name: str, why: str, goal: float | None = None) -> Result:
        return cls(name, None, None, None, 0, goal, None, None, why)

    @classmethod
    def of(
        cls, name: str, ours: Sequence[float], theirs: Sequence[float], *, goal: float | None, equal: bool, note: str
    ) -> Result:
        """From the seconds of each round. The interval is a bootstrap (Efron, "Bootstrap Methods", 1979)."""
        ratios = np.array(ours) / np.array(theirs)
        drawn = np.random.default_rng(0).choice(ratios, size=(RESAMPLES, len(ratios)))
        low, high = np.percentile(np.median(drawn, axis=1), [2.5, 97.5]).tolist()
        ratio, milliseconds = median(ratios.tolist()), (1000 * median(ours), 1000 * median(theirs))
        met = None if goal is None else ratio <= goal
        return cls(name, ratio, (low, high), milliseconds, len(ratios), goal, met, equal, note)


class Step(NamedTuple):
    """What something took: seconds of processor time, and by how many megabytes memory grew at most."""

    seconds: float
    megabytes: float


def taken(step: Callable[[], object]) -> Step:
    """Do it once. On Linux: getrusage would count what the parent process had, too."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
    before, start = _memory("VmRSS"), time.process_time()
    step()
    return Step(time.process_time() - start, _memory("VmHWM") - before)


def _memory(name: str) -> float:
    (line,) = (each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith(f"{name}:"))
    return float(line.split()[1]) / 1024


def interleaved(sides: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """What each side gives in each round. Within a round all take their turns, in every round in another order."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    names = list(sides)
    for number in range(rounds):
        for name in names if number % 2 == 0 else reversed(names):
            gc.collect()  # nobody pays for what the one before left behind
            found[name].append(sides[name]())
        names = names[1:] + names[:1]
    return found
