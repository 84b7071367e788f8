"""Batches of a number of tokens, of rows that are about as long as each other: little of a batch is padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

WIDTH = 1.1
"""How many times the shortest length of a bin its longest may be. Squared with each further stream that varies: bins
are combinations of lengths then, and would hold few rows."""


class Bin(NamedTuple):
    """Rows whose lengths are about the same in every stream."""

    longest: NDArray[np.int64]
    """[streams]"""
    places: NDArray[np.int64]
    """[rows]"""


class LengthBatches:
    """The batches of an epoch: `tokens` is the most that rows x (longest of each stream, summed) may come to.

    Rows stand in bins by their lengths. An epoch shuffles each bin and cuts it into batches; what is too few for a
    batch goes on to the next bin, unless that would cost more than it saves. How many rows a batch takes depends on
    the bins alone, so that every epoch has the same number of batches. A row that is longer than `tokens` is a batch
    by itself.

    lengths: [rows, streams]; 0 where a row lacks a stream.
    """

    def __init__(self, lengths: NDArray[np.int64], tokens: int) -> None:
        self.rows, self.tokens = len(lengths), tokens
        known = np.maximum(lengths, 1)
        varying = int((known.max(0) > known.min(0)).sum())
        width = WIDTH**2 ** min(max(varying - 1, 0), 3)
        levels = np.floor(np.log(known) / np.log(width) + 1e-9).astype(np.int64)
        kinds, own, counts = np.unique(levels, axis=0, return_inverse=True, return_counts=True)
        members = np.split(np.argsort(own.ravel(), kind="stable"), counts.cumsum()[:-1])
        self.bins = [Bin(known[members[kind]].max(0), members[kind]) for kind in _snake(kinds)]
        cut = self._cut([bin.places for bin in self.bins])
        self.count = len(cut)
        self.share = float(known.sum() / sum(len(one) * known[one].max(0).sum() for one in cut))
        """The part of the batches that is not padding, as it would be with rows in the order of the data."""

    def __len__(self) -> int:
        return self.count

    def epoch(self, seed: int, stage: int, epoch: int) -> list[list[int]]:
        """Every row once, in batches in random order: a pure function of these numbers."""
        rng = np.random.default_rng([seed, stage, epoch])
        found = self._cut([rng.permutation(bin.places) for bin in self.bins])
        return [found[place].tolist() for place in rng.permutation(len(found))]

    def _cut(self, ordered: Sequence[NDArray[np.int64]]) -> list[NDArray[np.int64]]:
        """The batches of bins whose rows stand in this order; their number and sizes do not depend on it."""
        found: list[NDArray[np.int64]] = []
        rest, longest = np.empty(0, np.int64), np.zeros(0, np.int64)
        for bin, places in zip(self.bins, ordered, strict=True):
            if len(rest):
                together = np.maximum(longest, bin.longest)
                if self._fit(together) <= len(rest):  # beside rows of this bin they would cost more than alone
                    found.append(rest)
                else:
                    missing = self._fit(together) - len(rest)
                    rest, places = np.concatenate([rest, places[:missing]]), places[missing:]
                    longest = together
                    if len(rest) < self._fit(together):
                        continue
                    found.append(rest)
            fit = self._fit(bin.longest)
            whole = len(places) - len(places) % fit
            found += [places[start : start + fit] for start in range(0, whole, fit)]
            rest, longest = places[whole:], bin.longest
        return [*found, rest] if len(rest) else found

    def _fit(self, longest: NDArray[np.int64]) -> int:
        return max(1, self.tokens // int(longest.sum()))


def _snake(kinds: NDArray[np.int64]) -> list[int]:
    """An order of distinct rows of levels, [kinds, streams], in which neighbours are alike: to and fro."""
    keys: list[NDArray[np.int64]] = []
    for stream in kinds.T:
        rank = np.unique(stream, return_inverse=True)[1]
        before = sum(keys, np.zeros(len(kinds), np.int64))
        keys.append(np.where(before % 2 == 0, rank, rank.max(initial=0) - rank))
    return [int(place) for place in np.lexsort(keys[::-1])]
