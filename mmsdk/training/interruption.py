"""Signals that ask a run to stop: it takes the step to its end, saves a checkpoint, and ends with exit code 85.

SIGTERM and SIGUSR1 are what batch systems send before they take a machine away, SIGINT is Ctrl-C.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import torch
from torch import Tensor

from mmsdk.errors import Interrupted

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]
Each = TypeVar("Each")


class Interruption:
    """Takes the first signal; the next one does what it would have done without us.

    Handlers stand while this is entered, in the main thread only (elsewhere Python allows none), and never in place of
    one that ignores its signal.
    """

    def __init__(self, run: Path, say: Callable[[str], None]) -> None:
        self.run, self.say = run, say
        self.asked: str | None = None
        self._stepping = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) not in (None, signal.SIG_IGN):
                    self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._put_back()
        if isinstance(error, Interrupted):
            self.say(str(error))

    def held(self, steps: Iterator[Each]) -> Iterator[Each]:
        """The steps, during which a signal waits for `agreed`. Otherwise there is nothing to save: it ends the run."""
        self._stepping = True
        try:
            yield from steps
        finally:
            self._stepping = False

    def agreed(self, reduce: Callable[..., Tensor], processes: int, device: torch.device) -> bool:
        """Whether any process was asked to stop; all of them ask this at the same time.

        A signal that comes while they agree counts at the next step: the others do not know of it.
        """
        if processes == 1:
            return self.asked is not None
        agreed = bool(reduce(torch.tensor(float(self.asked is not None), device=device), "sum") > 0)
        if agreed and self.asked is None:
            self.asked = "a signal to another process"
        return agreed

    def end(self, total: int, saved: bool) -> Interrupted:
        """What to raise after `total` steps, once a checkpoint of them is saved, or could not be."""
        return self._interrupted(
            f"after {total} steps, " + ("which are saved" if saved else "which could not be saved")
        )

    def _take(self, number: int, frame: object) -> None:
        self._put_back()
        self.asked = signal.Signals(number).name
        if not self._stepping:
            raise self._interrupted("between two steps; the last checkpoint is intact")

    def _interrupted(self, when: str) -> Interrupted:
        return Interrupted(
            f"{self.run}: stopped by {self.asked}, {when}. Give the same command with --resume to go on "
            "(in Python: resume=True)."
        )

    def _put_back(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())
