"""One stage of a training: its steps, and after each epoch a measurement, a checkpoint, and whether to go on."""

from __future__ import annotations

import torch

from mmsdk.errors import UnwritableError
from mmsdk.training import figures, optimization
from mmsdk.training.balance import balance_of
from mmsdk.training.caches import read_caches
from mmsdk.training.context import Context
from mmsdk.training.journal import Journal
from mmsdk.training.lengths import measure_lengths
from mmsdk.training.not_finite import NotFinite
from mmsdk.training.plan import StagePlan
from mmsdk.training.selection import Selection
from mmsdk.training.sketches import write_sketches
from mmsdk.training.steps import Steps


class Stage:
    """A stage that can be trained: what is wrong with its settings is told when this is made.

    trained: the parameters that it trains.

    Raises:
        ConfigError, DataError: see `optimization.trained`, `Selection` and `balance_of`.
    """

    def __init__(self, context: Context, plan: StagePlan) -> None:
        job = context.job
        self.context, self.plan, self.name = context, plan, plan.config.name
        self.selection = Selection(job.pipeline, plan, job.config.training)
        self.trained = optimization.trained(job.pipeline, plan.config, plan.weights)
        self.balance = balance_of(job, plan, context.processes.reduce)

    def run(self) -> None:
        """Train from where the job stands to the end of the stage.

        Raises:
            MmsdkError: see `train`. Interrupted: there was a signal, and the work is saved.
        """
        job, processes, held, _, progress, interruption = self.context
        plan, training, position = self.plan, job.config.training, job.position
        optimization.freeze(job.pipeline, plan.config, plan.weights)
        model, optimizer = held.prepare(optimization.optimizer(job.pipeline, plan.config, training))
        read_caches(job, plan, self._say_first, processes.wait)
        measure_lengths(job, plan, progress, processes.gather)
        if job.checkpoint is not None and position.step > 0:
            held.resume(job.checkpoints, optimizer, job.checkpoint)
        count = plan.steps_per_epoch * plan.epochs
        self._announce(count)
        self.balance.begin()
        journal = Journal(job, processes.accelerator, plan)
        guard = NotFinite(job, held, optimizer, processes.gather, lambda: self.save(optimizer))
        guard.begin()
        steps = Steps(self.context, model, optimizer, self.balance, journal, guard, count)
        for step, rows, parts in interruption.held(job.batches(plan, position.step)):
            steps.take(step, rows, parts)
            ends_epoch, ends_stage = position.step % plan.steps_per_epoch == 0, position.step == count
            if ends_epoch:
                ends_stage |= self._end_epoch(journal)
            stopping = interruption.agreed(processes.reduce, processes.count, processes.device)
            every = training.checkpoint.every
            if ends_epoch or stopping or (every is not None and position.total % every == 0):
                if ends_stage:
                    self._end(count)
                guard.saving()
                saved = self.save(None if ends_stage else optimizer)
                if stopping:
                    raise interruption.end(position.total, saved)
            journal.resume()
            if ends_stage:
                break
        processes.accelerator.unwrap_model(model, keep_fp32_wrapper=False)
        processes.accelerator.free_memory()

    def save(self, optimizer: torch.optim.Optimizer | None) -> bool:
        """Save a checkpoint. Where the disk does not let us, the ones before it are intact, and training goes on."""
        job, processes, saved = self.context.job, self.context.processes, True
        if processes.main:
            job.position.log_bytes = job.run.log_bytes()
            job.position.scaler = processes.scaler.state_dict() if processes.scaler is not None else {}
        try:
            self.context.held.save(job.checkpoints, optimizer, job.position)
        except UnwritableError as error:
            saved = False
            self.context.progress.say(
                f"warning: {error} This one goes on, without that checkpoint; the ones before are intact."
            )
        processes.wait()
        saved = bool(processes.tell(saved))
        if not saved:
            self.selection.forget(job.position)
        return saved

    def _announce(self, steps: int) -> None:
        """Where the stage stands."""
        position, progress, plan = self.context.job.position, self.context.progress, self.plan
        progress.stage(self.name, plan.absent, position.step, steps)
        if position.total:
            progress.say(f"{self.name}: from step {position.step} of {steps}")
        if plan.streamed is not None:
            progress.say(f"{self.name}: {plan.streamed.told(plan.batch_size, position.step)}")

    def _say_first(self, line: str) -> None:
        """Where the stage begins; not where it goes on."""
        if self.context.job.position.step == 0:
            self.context.progress.say(f"{self.name}: {line}")

    def _end_epoch(self, journal: Journal) -> bool:
        """Measure, and say whether the stage is to end here."""
        context, plan = self.context, self.plan
        found = figures.measured(context, plan.valid, list(plan.weights))
        epoch = context.job.position.step // plan.steps_per_epoch
        journal.epoch(epoch, found, context.progress, self.balance.epoch(epoch))
        ends_stage = self.selection.take(found, context.job.position)
        if context.processes.main or context.held.alike:
            write_sketches(context.job, plan, epoch)
        context.held.settle()
        return ends_stage

    def _end(self, steps: int) -> None:
        """Go back to the best weights where that is wanted, and stand before the next stage."""
        job, position = self.context.job, self.context.job.position
        self.context.progress.say(f"{self.name}: {self.selection.verdict(position, self.plan, steps)}")
        best = self.selection.wants(position)
        if best is not None:
            job.checkpoints.load_weights(job.pipeline, job.checkpoints.path(best))
        position.stage, position.step = position.stage + 1, 0
        position.best, position.best_total, position.waited, position.balance = None, None, 0, {}
        figures.teach_rules(self.context, self.plan)
        self.context.held.settle()
        self.context.processes.wait()  # saving removes the weights that all of them have just gone back to
