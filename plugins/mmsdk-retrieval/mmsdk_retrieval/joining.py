"""Several rankings as one."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from math import fsum
from typing import TypeVar

K = 60
"""The constant of the paper: how little the first ranks may outweigh the next ones."""

Item = TypeVar("Item", bound=Hashable)


def reciprocal_rank_fusion(rankings: Sequence[Sequence[Item]], k: int = K) -> list[tuple[Item, float]]:
    """Items with the sum of 1 / (k + rank) over the rankings that hold them, the largest first.

    Ranks begin with 1; an item that a ranking does not hold gets nothing from it. Scores of different queries need not
    be comparable: only ranks count (Cormack, Clarke and Buettcher, "Reciprocal Rank Fusion outperforms Condorcet and
    individual Rank Learning Methods", 2009). Items with equal sums stay in the order in which they are first met.
    """
    shares: dict[Item, list[float]] = {}
    for ranking in rankings:
        for rank, item in enumerate(ranking, start=1):
            shares.setdefault(item, []).append(1 / (k + rank))
    sums = [(item, fsum(own)) for item, own in shares.items()]  # exact, so that the order of the rankings is no matter
    return sorted(sums, key=lambda pair: -pair[1])
