"""All vectors against several queries at once: a scan that finds where to look closely, and misses nothing.

Only the largest product of each block of rows is kept. Whatever comes among the best of a query lies in a block whose
largest product is, but for rounding, no smaller than the last of the best blocks. So only those rows are compared
again, and how far rounding can go is known, not guessed: in bfloat16, too, the result is exact.
"""

from __future__ import annotations

import torch
from torch import Tensor

CHUNK = 16_384
"""Rows whose products with the queries are there at a time: few enough for the cache of a processor."""
BLOCK = 32
MANY = 4
"""From so many queries on, a copy in bfloat16 pays where the processor multiplies it: fewer wait for memory."""


class Scan:
    """Products of vectors [rows, width] float32 of length 1 with queries.

    half: scan a copy in bfloat16 where there are several queries; it takes half as much memory again. By default, where
    the processor multiplies it.
    """

    def __init__(self, vectors: Tensor, half: bool | None = None) -> None:
        self.vectors = vectors
        self.half = multiplies_bfloat16() if half is None else half
        self._copy: tuple[Tensor, float] | None = None

    def candidates(self, queries: Tensor, count: int, rounding: float) -> list[Tensor]:
        """queries [n, width] -> of each, the numbers of the `count` nearest rows, and of all about as near as the last.

        rounding: about as near are those whose product is at most so much smaller.
        """
        block = max(1, min(BLOCK, len(self.vectors) // (8 * count)))
        largest, error = self._largest(queries, block)  # [blocks, n], [n]
        last = largest.topk(min(count, len(largest)), dim=0).values[-1]  # [n]
        close = largest >= last - 2 * error - rounding
        places = torch.arange(block)
        return [
            self._nearest(query, (own.nonzero() * block + places).flatten(), count, rounding)
            for query, own in zip(queries, close.T, strict=True)
        ]

    def _nearest(self, query: Tensor, rows: Tensor, count: int, rounding: float) -> Tensor:
        """Those of the rows that are no further than the last of the nearest."""
        rows = rows[rows < len(self.vectors)]  # the last block may be short
        products = self.vectors[rows] @ query
        return rows[products >= products.topk(count).values[-1] - rounding]

    def _largest(self, queries: Tensor, block: int) -> tuple[Tensor, Tensor]:
        """The largest product in each block [blocks, n], and how far it can be from the true one [n]."""
        vectors, lost = self._in_half() if self.half and len(queries) >= MANY else (self.vectors, 0.0)
        scanned = queries.to(vectors.dtype)
        columns = scanned.T.contiguous()
        if columns.shape[1] == 1:  # libraries read memory faster for two columns than for one
            columns = columns.repeat(1, 2)
        found = []
        for part in torch.split(vectors, CHUNK // block * block):
            products = part @ columns  # [rows, n]
            if short := -len(part) % block:
                products = torch.cat([products, products[-1:].expand(short, -1)])
            found.append(products.view(-1, block, products.shape[1]).amax(dim=1))
        largest = torch.cat(found)[:, : len(queries)].float()
        # |<x, q> - <x', q'>| <= |x - x'| |q| + |x'| |q - q'| (Cauchy-Schwarz); sums are made in float32, and the
        # result is rounded once more to the precision of the scan
        off = (queries - scanned.float()).norm(dim=1)
        sums = vectors.shape[1] * torch.finfo(torch.float32).eps
        last_digit = torch.finfo(vectors.dtype).eps * largest.abs().amax(dim=0)
        return largest, lost + (1 + lost) * off + sums + last_digit

    def _in_half(self) -> tuple[Tensor, float]:
        """The copy in bfloat16, made once, and the longest difference |x - x'|."""
        if self._copy is None:
            copy = torch.empty_like(self.vectors, dtype=torch.bfloat16)
            lost = 0.0
            for part, into in zip(torch.split(self.vectors, CHUNK), torch.split(copy, CHUNK), strict=True):
                into.copy_(part)
                lost = max(lost, float((part - into.float()).norm(dim=1).max()))
            self._copy = copy, lost
        return self._copy


def multiplies_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 itself; without, it is slower than float32."""
    ask = getattr(torch.cpu, "get_capabilities", None)  # not in older versions of torch
    has = ask() if ask is not None else {}
    return bool(has.get("avx512_bf16") or has.get("amx_bf16") or has.get("sve_bf16") or has.get("bf16"))
