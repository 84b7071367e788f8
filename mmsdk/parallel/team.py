"""The processes that one launcher has started, such as torchrun: who does what, and what they know of each other.

They meet at the store of torch.distributed alone, which holds texts and counters: nothing here is computed together,
and a process group, which has to find a network for tensors, is not needed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from torch.distributed import HashStore, Store, rendezvous  # type: ignore[attr-defined]

FAILED = "failed"
GRACE = 2.0
"""Seconds in which the process that has something to say may end before the others: launchers then end these."""
LOOK = 0.05
"""Seconds between looks at a counter that others count up."""


class Team:
    """This process, `rank` of `processes`, and the others, which share its store. By itself it is a team of one."""

    def __init__(self, store: Store | None = None, rank: int = 0, processes: int = 1) -> None:
        self.store = HashStore() if store is None else store
        self.rank, self.processes = rank, processes

    def first(self, what: str) -> bool:
        """True in the one process that asks first: it does what is to be done once."""
        self.require_well()
        return bool(self.store.add(f"first {what}", 1) == 1)

    def total(self, what: str, more: int = 0) -> int:
        """Count something up; what all have counted so far."""
        return int(self.store.add(f"total {what}", more))

    def put(self, what: str, text: str) -> None:
        self.store.set(f"text {what}", text)

    def get(self, what: str) -> str:
        """What another process has put, or will."""
        while not self.store.check([f"text {what}"]):
            self.require_well()
            time.sleep(LOOK)
        return self.store.get(f"text {what}").decode()

    def meet(self, where: str) -> None:
        """Wait for all others, at a place that each process comes to once."""
        self.total(f"at {where}", 1)
        while self.total(f"at {where}") < self.processes:
            self.require_well()
            time.sleep(LOOK)

    def require_well(self) -> None:
        """End this process where another one has failed."""
        try:
            failed = self.store.check([FAILED])
        except RuntimeError:  # the process that keeps the store has ended
            failed = True
        if failed:
            _end()

    def fail(self) -> None:
        """Tell the others to end; a process that is not the first to fail ends here."""
        if self.processes > 1 and self.store.add(FAILED, 1) > 1:
            _end()

    def part(self) -> None:
        """At the end: the process that keeps the store waits until nobody needs it."""
        if self.total("parting", 1) < self.processes and self.rank == 0:
            while self.total("parting") < self.processes:
                time.sleep(LOOK)


@contextmanager
def team(ours: Team | None = None) -> Iterator[Team]:
    """The processes that work together as long as this lasts. An error in one of them ends all, and is told once."""
    ours = ours or _started()
    try:
        yield ours
    except SystemExit:
        raise
    except BaseException:
        ours.fail()
        raise
    ours.part()


def _started() -> Team:
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    return Team(*next(rendezvous("env://"))) if several else Team()


def _end() -> NoReturn:
    time.sleep(GRACE)
    raise SystemExit(1)
