"""The best ten of very many rows: the scan of mmsdk-retrieval against faiss and against plain torch."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import faiss
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.measuring import Result, interleaved
from mmsdk_retrieval.nearest import Exact

WIDTH, QUERIES, BEST, CENTRES = 512, 64, 10, 2000
FASTER_THAN_FAISS, FASTER_THAN_TORCH = 8, 2.5
Found = list[set[int]]


def run(quick: bool) -> list[Result]:
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    rows = 20_000 if quick else 1_000_000
    vectors, queries = _made_up(rows)
    exact = Exact(vectors, [f"{row:07}" for row in range(rows)], "auto")
    flat = faiss.IndexFlatIP(WIDTH)
    flat.add(vectors.numpy())
    every = {
        "ours": partial(_ours, exact, queries),
        "faiss": partial(_faiss, flat, queries),
        "torch": partial(_torch, vectors, queries),
    }
    one = {name: partial(each.func, each.args[0], queries[:1]) for name, each in every.items()}
    rounds = 1 if quick else 5
    results = []
    for sides, how, goals in (
        (every, f"{QUERIES} queries", (1 / FASTER_THAN_FAISS, 1 / FASTER_THAN_TORCH)),
        (one, "one query", (None, None)),
    ):
        found = {name: side() for name, side in sides.items()}
        seconds = interleaved({name: partial(_seconds, side) for name, side in sides.items()}, rounds)
        for other, goal in zip(("faiss", "torch"), goals, strict=True):
            results.append(
                Result.of(
                    f"exact_search: {how} / {other}",
                    seconds["ours"],
                    seconds[other],
                    goal=goal,
                    equal=_same(found["ours"], found[other]),
                    note=f"the best {BEST} of {rows:,} rows of width {WIDTH}",
                )
            )
    return results


def _seconds(side: Callable[[], Found]) -> float:
    start = time.process_time()
    side()
    return time.process_time() - start


def _ours(exact: Exact, queries: Tensor) -> Found:
    return [{row for row, _ in ranking} for ranking in exact.best_of_each(queries, BEST)]


def _faiss(flat: faiss.IndexFlatIP, queries: Tensor) -> Found:
    return [set(rows) for rows in flat.search(queries.numpy(), BEST)[1].tolist()]


def _torch(vectors: Tensor, queries: Tensor) -> Found:
    return [set(rows) for rows in (queries @ vectors.T).topk(BEST).indices.tolist()]


def _same(ours: Found, theirs: Found) -> bool:
    """Recall 1; of products that are equal in float32 either may come last."""
    return sum(len(one & other) for one, other in zip(ours, theirs, strict=True)) >= 0.999 * BEST * len(ours)


def _made_up(rows: int) -> tuple[Tensor, Tensor]:
    """Rows around many centres, and queries near some of the rows."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(CENTRES, WIDTH, generator=generator)
    vectors = torch.empty(rows, WIDTH)
    for part in vectors.split(50_000):
        chosen = centres[torch.randint(CENTRES, (len(part),), generator=generator)]
        part.copy_(F.normalize(chosen + 1.5 * torch.randn(len(part), WIDTH, generator=generator), dim=1))
    near = vectors[torch.randint(rows, (QUERIES,), generator=generator)]
    return vectors, F.normalize(near + 0.03 * torch.randn(QUERIES, WIDTH, generator=generator), dim=1)
