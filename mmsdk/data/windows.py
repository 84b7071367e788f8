"""Batches of rows of similar lengths, and what was made of them in the order of the rows again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from mmsdk.data.collate import Collator
from mmsdk.data.samples import Row

BATCH_SIZE, BATCHES = 32, 16
"""By default: rows that are computed together, and batches whose rows are sorted together."""
Given = TypeVar("Given")
Made = TypeVar("Made")


def in_windows(
    collator: Collator,
    given: Iterable[Given],
    batch_size: int,
    row_of: Callable[[Given], Row | None],
    make: Callable[[list[Given]], Sequence[Made]],
) -> Iterator[Made]:
    """What `make` makes of each, one after the other in their order, with no more than a window of them in memory.

    It is given batches of those whose texts are about as long, so that little is padded.
    """
    left = iter(given)
    while window := list(islice(left, BATCHES * batch_size)):
        order = by_length(collator, list(map(row_of, window)), batch_size)
        found: dict[int, Made] = {}
        for start in range(0, len(order), batch_size):
            places = order[start : start + batch_size]
            found |= zip(places, make([window[place] for place in places]), strict=True)
        yield from (found[place] for place in range(len(window)))
        collator.forget()


def by_length(collator: Collator, rows: Sequence[Row | None], batch_size: int) -> list[int]:
    """The places of the rows, sorted by the lengths of their texts where that makes batches more alike.

    Rows that share an image stay together: it is encoded once per batch.
    """
    places = list(range(len(rows)))
    if len(rows) > batch_size:
        lengths = [collator.length(row) if row is not None else 0 for row in rows]
        if len(set(lengths)) > 1 and not collator.shares([row for row in rows if row is not None]):
            places.sort(key=lengths.__getitem__)
    return places
