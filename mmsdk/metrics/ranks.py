"""Figures of retrieval: how far up a search in one stream finds the partner from another one."""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal

import torch
from torch import Tensor

from mmsdk.containers import HeadOutput, Inputs
from mmsdk.metrics.base import RowMetric

TIE = 1e-6  # similarities of unit vectors that are nearer than this count as equal
BLOCK = 1024  # rows of the table of similarities that are in memory at once


class RankMetric(RowMetric):
    """Base of figures of ranks: each row of one stream looks for its partner among all rows of another one.

    Ties count against the model. With targets, any row of the same target is a partner. Rows that lack one of the two
    streams are left out.

    pair: the streams; by default the first two. direction: "there" searches the second stream by the first one,
    "back" the first by the second, "both" is the mean of the two figures.
    """

    def __init__(
        self, pair: tuple[str, str] | None = None, direction: Literal["there", "back", "both"] = "both"
    ) -> None:
        super().__init__()
        self.pair, self.direction = pair, direction

    def keep(self, output: HeadOutput, target: Inputs | None) -> tuple[Tensor, ...] | None:
        first, second = (output.embeddings[name] for name in self.pair or list(output.embeddings)[:2])  # [batch, width]
        rows = first.any(dim=1) & second.any(dim=1)
        ids = torch.full((len(first),), -1)
        if target is not None:
            ids = torch.where(target["present"], target["ids"], ids)
        return first[rows], second[rows], ids[rows]

    @abstractmethod
    def value(self, ranks: Tensor) -> Tensor:
        """The figure of ranks [n], of which 1 is the best."""

    def figure(self, *columns: Tensor) -> float:
        first, second, ids = columns
        figures = []
        if self.direction != "back":
            figures.append(self.value(_ranks(first, second, ids)))
        if self.direction != "there":
            figures.append(self.value(_ranks(second, first, ids)))
        return float(torch.stack(figures).mean())


def _ranks(queries: Tensor, found: Tensor, ids: Tensor) -> Tensor:
    """The place of each query's best partner among all rows: [n] float64."""
    ranks = []
    for start in range(0, len(queries), BLOCK):
        block = slice(start, start + BLOCK)
        similar = queries[block] @ found.T  # [block, n]
        hits = (ids[block, None] == ids) & (ids >= 0)
        hits |= torch.arange(len(ids))[block, None] == torch.arange(len(ids))
        best = similar.masked_fill(~hits, -torch.inf).amax(dim=1, keepdim=True)
        ranks.append(1 + ((similar > best - TIE) & ~hits).sum(dim=1))
    return torch.cat(ranks).double()


class Recall(RankMetric):
    """The share of rows whose partner is among the first `k`."""

    def __init__(
        self, k: int, pair: tuple[str, str] | None = None, direction: Literal["there", "back", "both"] = "both"
    ) -> None:
        super().__init__(pair, direction)
        self.k = k

    def value(self, ranks: Tensor) -> Tensor:
        return (ranks <= self.k).double().mean()


class MeanReciprocalRank(RankMetric):
    """The mean of 1 / rank of the partner."""

    def value(self, ranks: Tensor) -> Tensor:
        return (1 / ranks).mean()


class MedianRank(RankMetric):
    """The median of the ranks of the partner; 1 is the best there is."""

    larger_is_better = False

    def value(self, ranks: Tensor) -> Tensor:
        return ranks.quantile(0.5)
