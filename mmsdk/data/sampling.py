"""The order of an epoch, as a pure function of (seed, stage, epoch): resuming needs no state but one number."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from itertools import pairwise
from typing import TypeVar

import numpy as np

FILLER = -1
Each = TypeVar("Each")


def shuffled(count: int, seed: int, stage: int, epoch: int, groups: Sequence[Hashable] | None = None) -> list[int]:
    """All places 0..count-1 in random order. Places of one group (equal, not None) follow each other."""
    rng = np.random.default_rng([seed, stage, epoch])
    if groups is None:
        return rng.permutation(count).tolist()  # type: ignore[no-any-return]
    members: dict[Hashable, list[int]] = {}
    for place, group in enumerate(groups):
        members.setdefault(("alone", place) if group is None else ("group", group), []).append(place)
    together = list(members.values())
    return [place for index in rng.permutation(len(together)) for place in rng.permutation(together[index]).tolist()]


def batches(order: Sequence[Each], size: int) -> Iterator[list[Each]]:
    """The global batches of an epoch; the last may be smaller."""
    return (list(order[start : start + size]) for start in range(0, len(order), size))


def share(batch: Sequence[int], rank: int, processes: int, parts: int = 1) -> list[list[int]]:
    """This process's share of each part of a global batch, filled up with FILLER to what the others have.

    Any number of processes computes the same: the parts do not depend on it, and fillers are samples without any
    value. The parts of one batch differ by a sample at most; a batch of fewer samples has fewer parts.
    """
    parts = min(parts, len(batch))
    bounds = [len(batch) * part // parts for part in range(parts + 1)]
    shares = []
    for start, end in pairwise(bounds):
        each = -(-(end - start) // processes)
        own = batch[start + rank * each : min(start + (rank + 1) * each, end)]
        shares.append([*own, *[FILLER] * (each - len(own))])
    return shares


def step_seed(seed: int, step: int, rank: int) -> int:
    """The seed of all randomness of one training step on one process (dropout, masks)."""
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0] >> 1)
