"""Optimizer steps: forward and backward passes over the parts of a batch, and what becomes of the gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmsdk.containers import Batch, HeadOutput
from mmsdk.data.collate import Collated
from mmsdk.data.sampling import step_seed
from mmsdk.errors import TrainingError
from mmsdk.pipeline.pipeline import FUSION_LOSSES
from mmsdk.pipeline.prediction import to_device
from mmsdk.training import optimization
from mmsdk.training.balance import Balance
from mmsdk.training.context import Context
from mmsdk.training.journal import Journal
from mmsdk.training.memory import Memory
from mmsdk.training.modality_dropout import without_streams
from mmsdk.training.not_finite import NotFinite


class Steps:
    """Takes the steps of one stage. model: what is called in the place of the pipeline. steps: how many there are."""

    def __init__(
        self,
        context: Context,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        balance: Balance,
        journal: Journal,
        guard: NotFinite,
        steps: int,
    ) -> None:
        self.context, self.model, self.optimizer, self.steps = context, model, optimizer, steps
        self.balance, self.journal, self.guard = balance, journal, guard
        self.memory = Memory(context.parts, context.job, context.progress)
        self.trained = [each for each in context.job.pipeline.parameters() if each.requires_grad]
        self.generator = torch.Generator(context.processes.device)
        # On a processor, torch.manual_seed would spend 0.2 ms on devices that are never used.
        on_cpu = context.processes.device.type == "cpu"
        self.reseed = torch.default_generator.manual_seed if on_cpu else torch.manual_seed

    def take(self, step: int, rows: int, parts: Sequence[Collated]) -> None:
        """One step, on so many rows over all processes. Everything random in it follows from its number.

        Raises:
            TrainingError: it cannot be taken; see `Memory` and `NotFinite`.
        """
        job, training, position = self.context.job, self.context.job.config.training, self.context.job.position
        self.guard.before()
        seed = step_seed(training.seed, position.total, job.rank)
        optimization.set_rates(self.optimizer, optimization.schedule(step, self.steps, training))
        dropped = {name: ramp.at(step / max(1, self.steps - 1)) for name, ramp in training.modality_dropout.items()}
        for attempt in self.memory.attempts(self._undo):
            with attempt:
                self.reseed(seed)
                self.generator.manual_seed(seed)
                for number, (batch, bad) in enumerate(parts):
                    job.bad.take(bad.values())
                    batch = to_device(batch, self.context.processes.device)
                    luck = [training.seed, position.total, number]
                    batch = without_streams(batch, dropped, luck, job.rank, job.processes)
                    with self.context.held.adding_up(self.model, last=number + 1 == len(parts)):
                        outputs, sums = self._backward(batch, len(parts))
                    self.journal.add(list(outputs), sums)
                    self.balance.see(outputs, batch)
        norm = self._gradients()
        undone = self._update(norm, parts)
        position.step, position.total = step + 1, position.total + 1
        if undone is None:
            self.journal.step(rows, norm, self.optimizer, self.context.progress)
        else:
            self.journal.undone(undone, self.context.progress)

    def _backward(self, batch: Batch, parts: int) -> tuple[dict[str, HeadOutput], Tensor]:
        """Forward and backward of a part of a batch. By itself, so that where it fails nothing keeps its tensors."""
        processes = self.context.processes
        outputs = self.model(batch, list(self.balance.plan.weights), self.generator)
        loss, sums = total(outputs, self.balance.weights, processes.reduce, processes.count)
        processes.accelerator.backward(loss / parts)
        return outputs, sums

    def _undo(self) -> None:
        """What a step has left before it was taken, for it to be done again."""
        self.optimizer.zero_grad()
        self.journal.forget()
        self.balance.forget()

    def _gradients(self) -> float:
        """Have the gradients balanced and clipped; their norm before that."""
        for parameter in self.trained:  # what no head read has one, too: in several processes it must have one
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        self.balance.modulate(self.optimizer)
        clip = self.context.job.config.training.clip
        norm = self.context.processes.accelerator.clip_grad_norm_(self.trained, math.inf if clip is None else clip)
        return self.context.held.number(norm)

    def _update(self, norm: float, parts: Sequence[Collated]) -> dict[str, Any] | None:
        """Move the weights, unless a loss or the norm is not finite: then what is to be told of that."""
        scaler, undone = self.context.processes.scaler, None
        lost = self.journal.not_finite()
        if lost or not (math.isfinite(norm) or scaler):  # float16 meets infinities, and skips the step
            undone = self.guard.met(lost, norm, [name for part in parts for name in part.batch.ids])
            if scaler is not None:
                scaler.update()
        else:
            self.optimizer.step()
            self.guard.taken()
        self.optimizer.zero_grad()
        return undone


def total(
    outputs: Mapping[str, HeadOutput],
    weights: Mapping[str, float],
    reduce: Callable[[Tensor, str], Tensor],
    processes: int,
) -> tuple[Tensor, Tensor]:
    """The loss to go backwards from, and per output the sum and the count over all processes, [2, outputs].

    What a fusion brings by itself counts as it is: its strengths are settings of its own.
    Each head's sum is divided by the count of all processes. DistributedDataParallel averages gradients over
    processes, hence the factor: any number of processes computes what one would.
    """
    losses, counts = [], []
    for name, output in outputs.items():
        if output.loss is None or output.count is None:
            raise TrainingError(f"Head '{name}' gives no loss to train with")
        losses.append(output.loss)
        counts.append(output.count.to(output.loss.dtype))
    stacked = torch.stack(losses)
    known = {FUSION_LOSSES: 1.0, **weights}
    scale = torch.tensor([known[name] for name in outputs], device=stacked.device)
    sums = reduce(torch.stack([stacked.detach(), torch.stack(counts)]), "sum")
    return (scale * stacked / sums[1].clamp(min=1)).sum() * processes, sums
