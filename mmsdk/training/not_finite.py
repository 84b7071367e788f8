"""What becomes of a step whose loss or gradient is not finite: `training.not_finite`.

raise     the run stops, with the samples of the batch
skip      weights, moments and buffers stay as they were before the step
rollback  they go back to the last checkpoint; the batches since then are not used again

Going on with other batches from an earlier checkpoint is what Chowdhery et al., "PaLM: Scaling Language Modeling with
Pathways", 2022, did against spikes of the loss. All three follow from the step alone, so that a run which is resumed
decides as the one that was never stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import torch

from mmsdk.errors import TrainingError, listed
from mmsdk.training.holding import Copies
from mmsdk.training.job import Job

IN_A_ROW = 10
"""Steps that may be skipped in a row, or times that the run may go back to one checkpoint."""
SHOWN = 32


class NotFinite:
    """Guards one stage. gather: lists of all processes, joined. save: writes a checkpoint, all processes together."""

    def __init__(
        self,
        job: Job,
        held: Copies,
        optimizer: torch.optim.Optimizer,
        gather: Callable[[list[Any]], list[Any]],
        save: Callable[[], object],
    ) -> None:
        self.job, self.held, self.optimizer, self.gather, self.save = job, held, optimizer, gather, save
        self.policy = job.config.training.not_finite
        self._buffers: list[torch.Tensor] = []
        self._balance: dict[str, Any] = {}
        self._taken = False

    def begin(self) -> None:
        """Before the first step of a run: have something to go back to."""
        if self.policy == "rollback" and self.job.position.total == 0 and self.job.checkpoint is None:
            self.save()

    def before(self) -> None:
        """Before each step: keep what a forward pass changes by itself, such as running means."""
        if self.policy == "skip":
            self._buffers = [buffer.clone() for buffer in self.job.pipeline.buffers()]
            self._balance = deepcopy(self.job.position.balance)

    def taken(self) -> None:
        """After a step that was finite."""
        self._taken = True
        if self.policy == "skip":
            self.job.position.not_finite = 0

    def saving(self) -> None:
        """Before a checkpoint: from now on it is another one that the run goes back to."""
        if self._taken:
            self.job.position.not_finite = 0
        self._taken = False

    def met(self, heads: Sequence[str], norm: float, ids: Sequence[str]) -> dict[str, Any]:
        """Undo the step, in all processes at the same time, and give what is to be logged.

        heads: those whose loss is not finite. ids: of this process's samples in the batch.

        Raises:
            TrainingError: the policy is to raise, or this is one time too many.
        """
        position = self.job.position
        samples = [name for name in self.gather(list(ids)) if name]
        what = f"the loss of {listed(heads)}" if heads else f"a gradient (norm {norm})"
        shown = listed(samples[:SHOWN]) + (" ..." if len(samples) > SHOWN else "")
        told = f"Step {position.total + 1}: {what} is not finite. Samples of this batch: {shown}."
        if self.policy == "raise":
            raise TrainingError(
                f"{told} Try a lower training.learning_rate, or precision: float32; the last checkpoint is intact. "
                "training.not_finite: skip or rollback goes on without such batches."
            )
        if position.not_finite >= IN_A_ROW:
            times = "in a row" if self.policy == "skip" else "from the same checkpoint"
            raise TrainingError(f"{told} That is one time more than {IN_A_ROW} {times}; the last checkpoint is intact.")
        if self.policy == "skip":
            for buffer, before in zip(self.job.pipeline.buffers(), self._buffers, strict=True):
                buffer.copy_(before)
            position.balance = self._balance
        else:
            self._roll_back()
        self._taken = False
        position.not_finite += 1
        return {"action": self.policy, "told": told, "samples": samples}

    def _roll_back(self) -> None:
        """Weights, moments and what is summed up as in the last checkpoint; the place in the data stays."""
        job, position = self.job, self.job.position
        newest = job.checkpoints.newest()
        if newest is None:
            raise TrainingError(f"{job.run.folder}: there is no whole checkpoint to go back to")
        job.checkpoints.load_weights(job.pipeline, newest)
        self.held.resume(job.checkpoints, self.optimizer, newest)
        before = job.checkpoints.position(newest)
        position.sums, position.balance = before.sums, before.balance
