"""What a stage writes down as it goes: log lines, tracker values, and the figures on the progress bar."""

from __future__ import annotations

import time
from collections.abc import Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mmsdk.training.job import Job
from mmsdk.training.plan import StagePlan
from mmsdk.training.progress import Progress

if TYPE_CHECKING:
    from accelerate import Accelerator

LOG_SECONDS = 2.0
REMARK = 3
"""The epoch after which heads may say that something looks wrong: by then most have begun to learn."""


class Journal:
    """Counts samples, seconds and losses of one stage. Sums over an epoch live in the position, to survive a stop."""

    def __init__(self, job: Job, accelerator: Accelerator, plan: StagePlan) -> None:
        self.job, self.accelerator, self.plan = job, accelerator, plan
        self.names: list[str] = []  # of the losses: of heads, and of a fusion that has some
        self.now: Tensor | None = None
        self.since = self.logged = time.perf_counter()

    def add(self, names: list[str], sums: Tensor) -> None:
        """Take in the sums and counts of one part of a batch, [2, names]."""
        self.names = names
        self.now = sums if self.now is None else self.now + sums

    def forget(self) -> None:
        """What was added in this step: it is done again."""
        self.now = None

    def not_finite(self) -> list[str]:
        """The names of those whose loss in this step is no number that training could go on with, in any process."""
        assert self.now is not None
        return [name for name, own in zip(self.names, self.now[0].tolist(), strict=True) if not isfinite(own)]

    def step(self, rows: int, norm: float, optimizer: torch.optim.Optimizer, progress: Progress) -> None:
        """After an optimizer step on so many rows, over all processes."""
        position = self.job.position
        assert self.now is not None
        sums, counts = self.now.tolist()
        self.now = None
        for name, own, count in zip(self.names, sums, counts, strict=True):
            before = position.sums.get(name, [0.0, 0.0])
            position.sums[name] = [before[0] + own, before[1] + count]
        time_now = time.perf_counter()
        position.seconds += time_now - self.since
        self.since = time_now
        position.samples += rows
        losses = {name: own / max(count, 1.0) for name, own, count in zip(self.names, sums, counts, strict=True)}
        progress.advance(sum(losses.values()), position.samples / position.seconds)
        every = self.job.config.training.log_every
        if time_now - self.logged > LOG_SECONDS if every is None else position.total % every == 0:
            self.logged = time_now
            rate = max(group["lr"] for group in optimizer.param_groups)
            self._write("step", losses, rate=rate, norm=norm)

    def undone(self, what: Mapping[str, Any], progress: Progress) -> None:
        """After a step that was undone, see `NotFinite`; its losses count nowhere."""
        self.now = None
        time_now = time.perf_counter()
        self.job.position.seconds += time_now - self.since
        self.since = time_now
        progress.say(f"{what['told']} {what['action']}: training goes on with the next batch.")
        self._write("not_finite", {}, **what)

    def epoch(
        self, epoch: int, figures: Mapping[str, float], progress: Progress, balance: Mapping[str, Mapping[str, float]]
    ) -> None:
        """After an epoch and its measurement. balance: what `training.balance` has to tell of it."""
        losses = {name: own / max(count, 1.0) for name, (own, count) in self.job.position.sums.items()}
        self.job.position.sums = {}
        self._write("epoch", losses, epoch=epoch, metrics=dict(figures), **balance)
        progress.epoch(self.plan.config.name, epoch, self.plan.epochs, losses, figures)
        if epoch == min(REMARK, self.plan.epochs):
            for name in self.plan.weights.keys() & losses.keys():
                loss, head = losses[name], self.job.pipeline.heads[name]
                remark = head.remark(loss, self.plan.rows_per_step)
                if remark is not None:
                    progress.say(f"{name}: {remark}")

    def resume(self) -> None:
        """Measuring and saving do not count as training time."""
        self.since = time.perf_counter()

    def _write(self, event: str, losses: Mapping[str, float], **more: Any) -> None:
        position = self.job.position
        if self.accelerator.is_main_process:
            speed = position.samples / position.seconds
            place = {
                "event": event,
                "stage": self.plan.config.name,
                "step": position.step,
                "total": position.total,
            }
            self.job.run.log(**place, losses=losses, **more, samples_per_second=round(speed, 1))
        if self.accelerator.trackers:
            values = {f"{self.plan.config.name}/loss/{name}": value for name, value in losses.items()}
            metrics = {
                f"{self.plan.config.name}/valid/{name}": value for name, value in more.get("metrics", {}).items()
            }
            self.accelerator.log(values | metrics, step=position.total)
