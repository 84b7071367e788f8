"""When the memory of the device runs out in a step, it is done again, and encoders take fewer values at a time.

The batch, and with it every loss, stays what it was: see `gradient_caching`. With dropout, other units are drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import torch

from mmsdk.errors import TrainingError
from mmsdk.training.gradient_caching import Parts
from mmsdk.training.job import Job
from mmsdk.training.progress import Progress

TRIES = 6


class Memory:
    """Guards one stage. parts: what encoders take; a run that is resumed begins with what it had come to."""

    def __init__(self, parts: Parts, job: Job, progress: Progress) -> None:
        self.parts, self.job, self.progress = parts, job, progress
        self.tries = 0
        self._ran_out = ""

    def attempts(self, undo: Callable[[], None]) -> Iterator[AbstractContextManager[None]]:
        """One after the other until a step goes well in one; `undo` is called in between.

        Raises:
            TrainingError: that does not help.
        """
        while True:
            self._ran_out = ""
            yield self._attempt()
            if not self._ran_out:
                return
            undo()  # here, where nobody holds the tensors of the step any more
            torch.cuda.empty_cache()
            self.halve(self._ran_out)

    @contextmanager
    def _attempt(self) -> Iterator[None]:
        try:
            yield
        except torch.OutOfMemoryError as error:
            self._ran_out = str(error) or "out of memory"

    def halve(self, reason: str) -> None:
        """Let encoders take half as many values from now on.

        Raises:
            TrainingError: they take a single one already, this has been done six times, or other processes wait.
        """
        position, parts = self.job.position, self.parts
        now = min(parts.size or parts.most, parts.most)
        where = f"Step {position.total + 1}: the memory of the device has run out"
        if self.job.processes > 1:
            divided = self.job.config.training.sharding != "off"  # which allows no parts
            more = "and activation_checkpointing" if divided else f"--set training.micro_batch={max(1, now // 2)}"
            raise TrainingError(
                f"{where} in process {self.job.rank} of {self.job.processes} ({reason}). Give the same command with "
                f"--resume {more}"
            )
        if now <= 1 or self.tries == TRIES:
            raise TrainingError(
                f"{where}, although encoders take {now} values at a time ({reason}). Use a smaller "
                "training.batch_size, training.accumulation, or training.activation_checkpointing; the last checkpoint "
                "is intact."
            )
        self.tries += 1
        parts.size = position.micro_batch = -(-now // 2)
        self.progress.say(f"{where}: encoders take {parts.size} values at a time from here on, of the same batch")
        if self.job.rank == 0:
            self.job.run.log(event="out_of_memory", total=position.total, micro_batch=parts.size, losses={})
