"""Exact search: what counting by hand finds, ties by id, the same with torch and faiss; rankings joined by rank."""

from __future__ import annotations

import builtins
import sys
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmsdk import PluginError
from mmsdk_retrieval import nearest, reciprocal_rank_fusion
from mmsdk_retrieval.nearest import Backend, Exact

BACKENDS: list[Backend] = ["auto", "torch", "faiss"]


def unit(rows: int, width: int, seed: int = 0) -> Tensor:
    return F.normalize(torch.randn(rows, width, generator=torch.Generator().manual_seed(seed)), dim=1)


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Backend:
    if request.param == "faiss":
        pytest.importorskip("faiss")
    chosen: Backend = request.param
    return chosen


@pytest.mark.parametrize(("rows", "count"), [(1, 1), (7, 3), (7, 7), (2000, 10)])
def test_the_nearest_rows_are_found(backend: Backend, rows: int, count: int) -> None:
    vectors, (query,) = unit(rows, 16), unit(1, 16, seed=1)
    found = Exact(vectors, [f"{row:04}" for row in range(rows)], backend).best([query], count)
    every = sorted(((float(vector.double() @ query.double()), row) for row, vector in enumerate(vectors)), reverse=True)
    assert [row for row, _ in found] == [row for _, row in every[:count]]
    assert [score for _, score in found] == pytest.approx([score for score, _ in every[:count]], abs=1e-6)


def test_ties_are_told_by_id(backend: Backend) -> None:
    vectors = unit(3, 8)[[0, 1, 1, 1, 1, 2]]
    query, ids = vectors[1], ["z", "d", "b", "c", "a", "y"]
    found = Exact(vectors, ids, backend).best([query], 3)
    assert [ids[row] for row, _ in found] == ["a", "b", "c"] and {score for _, score in found} == {1.0}


def test_torch_and_faiss_find_the_same() -> None:
    pytest.importorskip("faiss")
    vectors = unit(3000, 24)
    vectors[1000:1400] = vectors[:400]  # many ties
    ids = [f"{row * 7919 % 3000}" for row in range(3000)]
    one, other = Exact(vectors, ids, "torch"), Exact(vectors, ids, "faiss")
    for query in [*unit(20, 24, seed=2), *vectors[:20]]:
        assert one.best([query], 15) == other.best([query], 15)
    queries = list(unit(3, 24, seed=3))
    assert one.best(queries, 15) == other.best(queries, 15)


def test_without_faiss_there_is_a_way(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *others: Any) -> Any:
        if name == "faiss":
            raise ImportError("No module named 'faiss'")
        return real(name, *others)

    monkeypatch.delitem(sys.modules, "faiss", raising=False)
    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(PluginError, match=r"pip install 'mmsdk-retrieval\[faiss\]', or search with torch"):
        Exact(unit(2, 4), ["a", "b"], "faiss")
    assert Exact(unit(2, 4), ["a", "b"], "torch").best([unit(2, 4)[0]], 1) == [(0, 1.0)]


def test_reciprocal_ranks_by_hand() -> None:
    """a: 1/61 + 1/63, b: 1/62 + 1/61, c: 1/63, d: 1/62."""
    joined = reciprocal_rank_fusion([["a", "b", "c"], ["b", "d", "a"]])
    assert [name for name, _ in joined] == ["b", "a", "d", "c"]
    assert dict(joined) == pytest.approx({"b": 1 / 62 + 1 / 61, "a": 1 / 61 + 1 / 63, "d": 1 / 62, "c": 1 / 63})
    assert reciprocal_rank_fusion([["a"], ["b"]], k=0) == [("a", 1.0), ("b", 1.0)]
    assert reciprocal_rank_fusion([]) == []


def test_several_queries_are_joined_by_their_ranks(backend: Backend) -> None:
    vectors = torch.eye(4)
    first, second = (F.normalize(torch.tensor(query), dim=0) for query in ([4.0, 3, 2, 1], [1.0, 4, 2, 3]))
    found = Exact(vectors, list("abcd"), backend).best([first, second], 4)
    # ranks: a 1 and 4, b 2 and 1, c 3 and 3, d 4 and 2
    assert ["abcd"[row] for row, _ in found] == ["b", "a", "d", "c"]
    assert found[0][1] == pytest.approx(1 / 62 + 1 / 61)


def test_equal_sums_are_told_by_id() -> None:
    vectors = torch.eye(2)
    assert Exact(vectors, ["b", "a"], "torch").best([vectors[0], vectors[1]], 2) == [
        (1, 1 / 61 + 1 / 62),
        (0, 1 / 61 + 1 / 62),
    ]


def test_rankings_are_cut_at_a_depth(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[int]] = []
    monkeypatch.setattr(nearest, "DEPTH", 5)
    monkeypatch.setattr(nearest, "reciprocal_rank_fusion", lambda own: seen.append([len(each) for each in own]) or [])
    exact = Exact(torch.eye(30), [str(row) for row in range(30)], "torch")
    for count in (1, 2, 4):
        exact.best(list(torch.eye(30)[:2]), count)
    assert seen == [[10, 10], [20, 20], [30, 30]]
