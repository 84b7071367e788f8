"""Exact search: the rows whose vectors have the largest products with a query."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from mmsdk import PluginError
from mmsdk_retrieval.joining import reciprocal_rank_fusion

Backend = Literal["torch", "faiss"]

ROUNDING = 1e-5
"""More than float32 can be off in a product of vectors of length 1: all rows so near to the last place are compared."""
DIGITS = 6
"""Products that are equal in so many decimals are a tie."""
DEPTH = 1000
"""So far down the rankings of several queries count, or ten times as far as results are wanted."""


class Searcher(Protocol):
    """Proposes rows for a query."""

    def candidates(self, query: Tensor, count: int) -> Tensor:
        """query [width] -> the numbers of the `count` nearest rows, and of all that are about as near as the last."""


class TorchSearcher:
    """Products with all vectors [rows, width]; takes one number per row beside them."""

    def __init__(self, vectors: Tensor) -> None:
        self.vectors = vectors

    def candidates(self, query: Tensor, count: int) -> Tensor:
        products = self.vectors @ query  # [rows]
        last = products.topk(count).values[-1]
        return (products >= last - ROUNDING).nonzero()[:, 0]


class FaissSearcher:
    """faiss.IndexFlatIP over vectors [rows, width]: exact as well, on all cores."""

    def __init__(self, vectors: Tensor) -> None:
        self.flat = _faiss().IndexFlatIP(vectors.shape[1])
        self.flat.add(vectors.numpy())

    def candidates(self, query: Tensor, count: int) -> Tensor:
        asked = query[None].numpy()
        products, _ = self.flat.search(asked, count)  # [1, count], the largest first
        _, _, rows = self.flat.range_search(asked, float(products[0, -1]) - ROUNDING)  # those above it, in no order
        return torch.from_numpy(rows).sort().values


class Exact:
    """Ranks the rows of vectors [rows, width] float32 of length 1; ties in the order of the ids.

    The same with each backend, as what it proposes is compared in double precision.

    Raises:
        PluginError: faiss is asked for and not installed.
    """

    def __init__(self, vectors: Tensor, ids: Sequence[str], backend: Backend) -> None:
        self.vectors, self.ids = vectors, ids
        self.searcher: Searcher = FaissSearcher(vectors) if backend == "faiss" else TorchSearcher(vectors)

    def best(self, queries: Sequence[Tensor], count: int) -> list[tuple[int, float]]:
        """The `count` best rows with their scores, the best first.

        queries: [width] each. Of one, the score is the cosine similarity; several are joined by their ranks.
        """
        if len(queries) == 1:
            return self._ranking(queries[0], count)
        depth = min(len(self.ids), max(DEPTH, 10 * count))
        rankings = [[row for row, _ in self._ranking(query, depth)] for query in queries]
        return self._sorted(reciprocal_rank_fusion(rankings))[:count]

    def _ranking(self, query: Tensor, count: int) -> list[tuple[int, float]]:
        rows = self.searcher.candidates(query, count)
        products = (self.vectors[rows].double() @ query.double()).tolist()
        return self._sorted((row, round(each, DIGITS)) for row, each in zip(rows.tolist(), products, strict=True))[
            :count
        ]

    def _sorted(self, found: Iterable[tuple[int, float]]) -> list[tuple[int, float]]:
        return sorted(found, key=lambda pair: (-pair[1], self.ids[pair[0]]))


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        message = f"faiss cannot be imported ({error}): pip install 'mmsdk-retrieval[faiss]', or search with torch"
        raise PluginError(message) from None
    return faiss
