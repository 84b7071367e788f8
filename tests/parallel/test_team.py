"""Processes that work together: who comes first, what all have counted, and how all end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from torch.distributed import HashStore

from mmsdk.errors import DataError
from mmsdk.parallel import team as module
from mmsdk.parallel.team import Team, team


def together(work: Callable[[Team], Any], processes: int = 3) -> list[Any]:
    """What each member of a team answers, or how it ends. Threads stand for processes."""
    store, ends = HashStore(), dict[int, Any]()

    def run(rank: int) -> None:
        try:
            ends[rank] = work(Team(store, rank, processes))
        except BaseException as error:
            ends[rank] = error

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(processes)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
        assert not each.is_alive(), "it waits for ever"
    return [ends[rank] for rank in range(processes)]


def test_one_comes_first() -> None:
    found = together(lambda ours: [ours.first(f"{number}") for number in range(20)])
    assert [sum(each) for each in zip(*found, strict=True)] == [1] * 20


def test_all_know_what_all_have_counted() -> None:
    def count(ours: Team) -> tuple[int, str]:
        ours.total("rows", 10 + ours.rank)
        if ours.rank == 1:
            ours.put("word", "é")
        ours.meet("there")
        ours.part()
        return ours.total("rows"), ours.get("word")

    assert together(count) == [(33, "é")] * 3


@pytest.mark.parametrize("failing", [{0}, {2}, {0, 1, 2}])
def test_an_error_in_one_ends_all_and_is_told_once(failing: set[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE", 0.0)

    def fail(ours: Team) -> None:
        with team(ours):
            if ours.rank in failing:
                raise DataError("no")
            ours.meet("never")

    ends = together(fail)
    assert sum(isinstance(end, DataError) for end in ends) == 1
    assert sum(isinstance(end, SystemExit) and end.code == 1 for end in ends) == 2


def test_alone_there_is_nothing_to_wait_for() -> None:
    with team() as ours:
        assert (ours.rank, ours.processes, ours.first("a"), ours.first("a")) == (0, 1, True, False)
        ours.meet("there")
    with pytest.raises(DataError, match="no"), team():
        raise DataError("no")
