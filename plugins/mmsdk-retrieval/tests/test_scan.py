"""The scan misses nothing: whatever the sizes, the precision and how near to one another rows are."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmsdk_retrieval import nearest
from mmsdk_retrieval.nearest import Backend, Exact
from mmsdk_retrieval.scan import CHUNK, Scan


def drawn(rows: int, width: int, seed: int, spread: float = 1.0) -> Tensor:
    """Vectors of length 1; with a small spread all near to one another, so that products differ in late digits."""
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.ones(width) * (1 - spread) + spread * torch.randn(rows, width, generator=generator), dim=1)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("spread", [1.0, 0.01])
@pytest.mark.parametrize(
    ("rows", "count", "queries"), [(1, 1, 1), (33, 33, 5), (999, 1, 1), (5000, 10, 9), (CHUNK + 77, 3, 4)]
)
def test_all_that_are_near_enough_are_candidates(
    half: bool, spread: float, rows: int, count: int, queries: int
) -> None:
    vectors, asked = drawn(rows, 48, 0, spread), drawn(queries, 48, 1, spread)
    found = Scan(vectors, half).candidates(asked, count, rounding=1e-5)
    for query, places in zip(asked, found, strict=True):
        products = vectors.double() @ query.double()
        wanted = (products >= products.topk(count).values[-1]).nonzero()[:, 0].tolist()
        assert set(wanted) <= set(places.tolist()) and len(set(places.tolist())) == len(places)


def test_the_copy_in_half_is_what_is_scanned() -> None:
    vectors = drawn(2000, 16, 0)
    scan = Scan(vectors, half=True)
    scan.candidates(drawn(8, 16, 1), 3, 0.0)
    assert scan._copy is not None and scan._copy[0].dtype is torch.bfloat16 and scan._copy[1] > 0
    alone = Scan(vectors, half=True)
    alone.candidates(drawn(1, 16, 1), 3, 0.0)
    assert alone._copy is None  # a single query does not pay for it


def test_few_rows_are_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    near = Scan._nearest

    def counted(self: Scan, query: Tensor, rows: Tensor, count: int, rounding: float) -> Tensor:
        seen.append(len(rows))
        return near(self, query, rows, count, rounding)

    monkeypatch.setattr(Scan, "_nearest", counted)
    for half in (False, True):
        Scan(drawn(50_000, 64, 0), half).candidates(drawn(6, 64, 1), 10, 1e-5)
    assert max(seen) < 50_000 / 20


@pytest.mark.parametrize("backend", ["auto", "torch", "faiss"])
def test_many_queries_find_what_each_finds_alone(backend: Backend) -> None:
    if backend == "faiss":
        pytest.importorskip("faiss")
    vectors, queries = drawn(3000, 24, 0), drawn(150, 24, 1)
    vectors[2000:2400] = vectors[:400]  # ties
    exact = Exact(vectors, [f"{row * 7919 % 3000:04}" for row in range(3000)], backend)
    assert exact.best_of_each(queries, 12) == [exact.best([query], 12) for query in queries]


def test_a_single_query_among_very_many_rows_goes_to_faiss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "LARGE", 100)
    vectors, ids = drawn(100, 8, 0), [str(row) for row in range(100)]
    monkeypatch.setattr(nearest, "has_faiss", lambda: False)
    assert isinstance(Exact(vectors, ids, "auto").one, Scan)
    pytest.importorskip("faiss")
    monkeypatch.undo()
    monkeypatch.setattr(nearest, "LARGE", 100)
    exact = Exact(vectors, ids, "auto")
    assert isinstance(exact.one, nearest.FaissScan) and isinstance(exact.several, Scan)
    assert isinstance(Exact(vectors[:99], ids[:99], "auto").one, Scan)
