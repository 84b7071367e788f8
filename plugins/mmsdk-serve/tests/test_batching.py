"""Items are answered together, each once, with its own answer; limits and deadlines hold."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import wait
from threading import Event, Thread

import pytest

from mmsdk_serve.batching import Batcher, ClosedError, FullError, LateError


class Slow:
    """Doubles numbers, once it is let go; a negative one fails the batch that it is in."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.free = Event()

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.free.wait(10)
        self.sizes.append(len(items))
        if min(items) < 0:
            raise ValueError(f"{min(items)} is below 0")
        return [2 * item for item in items]


def held(**options: int) -> tuple[Batcher[int, int], Slow]:
    """A batcher whose worker is busy with a first item."""
    slow = Slow()
    batcher = Batcher(slow, **options)
    batcher.submit([0], 10)
    while len(batcher):
        time.sleep(0.001)
    return batcher, slow


def test_what_waits_is_answered_together_and_each_has_its_own_answer() -> None:
    batcher, slow = held(largest=8, room=100)
    futures = [future for item in range(20) for future in batcher.submit([item], 10)]
    slow.free.set()
    assert [future.result(10) for future in futures] == [2 * item for item in range(20)]
    assert slow.sizes == [1, 8, 8, 4]
    batcher.close()


def test_one_bad_item_of_eight_fails_alone_a_hundred_times() -> None:
    for bad in range(100):
        batcher, slow = held(largest=8, room=8)
        items = [-1 - place if place == bad % 8 else place for place in range(8)]
        futures = batcher.submit(items, 10)
        slow.free.set()
        for item, future in zip(items, futures, strict=True):
            if item < 0:
                with pytest.raises(ValueError, match=f"{item} is below 0"):
                    future.result(10)
            else:
                assert future.result(10) == 2 * item
        batcher.close()


def test_more_than_may_wait_is_refused_as_a_whole() -> None:
    batcher, slow = held(largest=4, room=4)
    batcher.submit([1, 2, 3], 10)
    with pytest.raises(FullError):
        batcher.submit([4, 5], 10)
    assert len(batcher) == 3
    last = batcher.submit([4], 10)
    slow.free.set()
    assert last[0].result(10) == 8
    batcher.close()


def test_what_is_late_is_not_computed_and_what_is_given_up_neither() -> None:
    batcher, slow = held(largest=8, room=8)
    late, given_up, fine = batcher.submit([1], 0.01), batcher.submit([2], 10), batcher.submit([3], 10)
    given_up[0].cancel()
    time.sleep(0.05)
    slow.free.set()
    assert fine[0].result(10) == 6
    with pytest.raises(LateError):
        late[0].result(10)
    assert slow.sizes == [1, 1]
    batcher.close()


def test_closing_answers_what_waits_and_takes_nothing_new() -> None:
    batcher, slow = held(largest=2, room=8)
    futures = batcher.submit([1, 2, 3, 4, 5], 10)
    closing = Thread(target=batcher.close)
    closing.start()
    while not batcher._closed:
        time.sleep(0.001)
    with pytest.raises(ClosedError):
        batcher.submit([6], 10)
    slow.free.set()
    closing.join(10)
    assert wait(futures, 1).not_done == set() and [each.result() for each in futures] == [2, 4, 6, 8, 10]
    assert not batcher._thread.is_alive()
