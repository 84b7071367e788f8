"""Dynamic batches: what waits when the worker is free is answered together, and nobody waits for a batch to fill."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Condition, Thread
from typing import Generic, NamedTuple, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class FullError(Exception):
    """More waits already than may wait."""


class ClosedError(Exception):
    """Nothing new is taken: the server is about to stop."""


class LateError(Exception):
    """The deadline was over before the answer was begun."""


class _Waiting(NamedTuple):
    item: object
    deadline: float
    answer: Future[object]


class Batcher(Generic[Item, Answer]):
    """Answers items in batches on a thread of its own.

    answers: gives one answer per item, in order. If it fails for a batch, each item is tried alone, so that only what
    fails by itself fails. largest: items of a batch. room: items that may wait.
    """

    def __init__(
        self, answers: Callable[[Sequence[Item]], Sequence[Answer]], *, largest: int = 32, room: int = 64
    ) -> None:
        self._answers, self.largest, self.room = answers, largest, room
        self._waiting: deque[_Waiting] = deque()
        self._changed = Condition()
        self._closed = False
        self.seen: Callable[[int], object] = lambda size: None
        """Called with the size of each batch."""
        self._thread = Thread(target=self._work, name="mmsdk-serve", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        """How many items wait."""
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """Whether not even one more may wait."""
        return len(self._waiting) >= self.room

    def submit(self, items: Sequence[Item], seconds: float) -> list[Future[Answer]]:
        """A future per item; all are taken, or none. seconds: from now to the deadline.

        Raises:
            FullError, ClosedError.
        """
        deadline = time.monotonic() + seconds
        with self._changed:
            if self._closed:
                raise ClosedError
            if len(self._waiting) + len(items) > self.room:
                raise FullError
            futures: list[Future[Answer]] = [Future() for _ in items]
            self._waiting.extend(
                _Waiting(item, deadline, future)  # type: ignore[arg-type]
                for item, future in zip(items, futures, strict=True)
            )
            self._changed.notify()
        return futures

    async def ask(self, items: Sequence[Item], seconds: float) -> list[Answer]:
        """The answers to items, once they are there; what nobody waits for any longer is not computed.

        Raises:
            FullError, ClosedError, LateError; TimeoutError; what the answers failed with.
        """
        futures = self.submit(items, seconds)
        try:
            async with asyncio.timeout(seconds):
                return list(await asyncio.gather(*map(asyncio.wrap_future, futures)))
        finally:
            for future in futures:
                future.cancel()

    def close(self, seconds: float = 30.0) -> None:
        """Take nothing new, and answer what waits."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(seconds)

    def _work(self) -> None:
        while batch := self._next():
            taken = [each for each in batch if each.answer.set_running_or_notify_cancel()]
            now = time.monotonic()
            for each in taken:
                if each.deadline < now:
                    each.answer.set_exception(LateError())
            in_time = [each for each in taken if each.deadline >= now]
            if in_time:
                self.seen(len(in_time))
                self._answer(in_time)

    def _next(self) -> list[_Waiting]:
        """What waits, at most a batch; nothing once it is closed."""
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            return [self._waiting.popleft() for _ in range(min(len(self._waiting), self.largest))]

    def _answer(self, batch: Sequence[_Waiting]) -> None:
        try:
            answers = self._answers([each.item for each in batch])  # type: ignore[misc]
            pairs = list(zip(batch, answers, strict=True))
        except Exception as error:
            if len(batch) == 1:
                batch[0].answer.set_exception(error)
            else:
                for each in batch:
                    self._answer([each])
            return
        for each, answer in pairs:
            each.answer.set_result(answer)
