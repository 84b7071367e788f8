"""Exact search: the rows whose vectors have the largest products with a query."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from mmsdk import PluginError
from mmsdk_retrieval.joining import reciprocal_rank_fusion
from mmsdk_retrieval.scan import Scan

Backend = Literal["auto", "torch", "faiss"]

ROUNDING = 1e-5
"""More than float32 can be off in a product of vectors of length 1: all rows so near to the last place are compared."""
DIGITS = 6
"""Products that are equal in so many decimals are a tie."""
TOGETHER = 64
"""Queries that are scanned for at a time."""
LARGE = 100_000
"""From so many rows on, faiss answers a single query sooner."""
DEPTH = 1000
"""So far down the rankings of several queries count, or ten times as far as results are wanted."""


class FaissScan:
    """faiss.knn over vectors [rows, width]: exact as well, and for single queries as fast as memory can be read."""

    def __init__(self, vectors: Tensor) -> None:
        self.faiss, self.vectors = _faiss(), vectors.numpy()

    def candidates(self, queries: Tensor, count: int, rounding: float) -> list[Tensor]:
        """See `Scan.candidates`."""
        return [self._of_one(query[None].numpy(), count, rounding) for query in queries]

    def _of_one(self, query: Any, count: int, rounding: float) -> Tensor:
        wanted = count
        while True:  # until the furthest one found is out of reach
            wanted = min(2 * wanted + 8, len(self.vectors))
            near, rows = self.faiss.knn(query, self.vectors, wanted, metric=self.faiss.METRIC_INNER_PRODUCT)
            close = near[0] >= near[0, count - 1] - rounding  # [wanted], the largest first
            if wanted == len(self.vectors) or not close[-1]:
                return torch.from_numpy(rows[0][close]).sort().values


class Exact:
    """Ranks the rows of vectors [rows, width] float32 of length 1; ties in the order of the ids.

    The same with each backend, as what it proposes is compared in double precision. By default single queries among
    very many rows go to faiss, where it is installed, and all others to torch: whichever is faster.

    Raises:
        PluginError: faiss is asked for and not installed.
    """

    def __init__(self, vectors: Tensor, ids: Sequence[str], backend: Backend) -> None:
        self.vectors, self.ids = vectors, ids
        self.several: Scan | FaissScan = FaissScan(vectors) if backend == "faiss" else Scan(vectors)
        single = backend == "auto" and len(ids) >= LARGE and has_faiss()
        self.one: Scan | FaissScan = FaissScan(vectors) if single else self.several

    def best(self, queries: Sequence[Tensor], count: int) -> list[tuple[int, float]]:
        """The `count` best rows with their scores, the best first.

        queries: [width] each. Of one, the score is the cosine similarity; several are joined by their ranks.
        """
        if len(queries) == 1:
            return self.best_of_each(queries[0][None], count)[0]
        depth = min(len(self.ids), max(DEPTH, 10 * count))
        rankings = [[row for row, _ in ranking] for ranking in self.best_of_each(torch.stack(list(queries)), depth)]
        return self._sorted(reciprocal_rank_fusion(rankings))[:count]

    def best_of_each(self, queries: Tensor, count: int) -> list[list[tuple[int, float]]]:
        """queries [n, width] -> of each, the `count` best rows with their cosine similarities, the best first."""
        found: list[list[tuple[int, float]]] = []
        for part in torch.split(queries, TOGETHER):
            scan = self.one if len(part) == 1 else self.several
            near = scan.candidates(part, count, ROUNDING)
            found += [self._ranking(query, rows, count) for query, rows in zip(part, near, strict=True)]
        return found

    def _ranking(self, query: Tensor, rows: Tensor, count: int) -> list[tuple[int, float]]:
        products = (self.vectors[rows].double() @ query.double()).tolist()
        return self._sorted((row, round(each, DIGITS)) for row, each in zip(rows.tolist(), products, strict=True))[
            :count
        ]

    def _sorted(self, found: Iterable[tuple[int, float]]) -> list[tuple[int, float]]:
        return sorted(found, key=lambda pair: (-pair[1], self.ids[pair[0]]))


def has_faiss() -> bool:
    """Whether faiss is installed, and can be imported."""
    try:
        return bool(_faiss())
    except PluginError:
        return False


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        message = f"faiss cannot be imported ({error}): pip install 'mmsdk-retrieval[faiss]', or search with torch"
        raise PluginError(message) from None
    return faiss
