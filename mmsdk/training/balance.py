"""`training.balance`: what the loop asks while a stage is trained. This one lets everything be as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from mmsdk.config.balance import OgmGeConfig
from mmsdk.containers import Batch, HeadOutput
from mmsdk.training.job import Job
from mmsdk.training.plan import StagePlan

Reduce = Callable[[Tensor, str], Tensor]
"""A tensor of all processes, added up: `reduce(tensor, "sum")`."""


class Balance:
    """Weighs losses and changes gradients. What it has to keep stands in `position.balance`, as JSON values."""

    def __init__(self, job: Job, plan: StagePlan, reduce: Reduce) -> None:
        self.job, self.plan, self.reduce = job, plan, reduce

    @property
    def weights(self) -> Mapping[str, float]:
        """The weights of the heads' losses, now."""
        return self.plan.weights

    def begin(self) -> None:
        """Before the first step of a stage, and where a run goes on."""

    def see(self, outputs: Mapping[str, HeadOutput], batch: Batch) -> None:
        """After each forward pass."""

    def forget(self) -> None:
        """What was seen in this step: it is done again."""

    def modulate(self, optimizer: torch.optim.Optimizer) -> None:
        """Once gradients are whole, before they are clipped: change them, or the rates of this step."""

    def epoch(self, epoch: int) -> dict[str, dict[str, float]]:
        """After an epoch, 1 for the first: what is to be written down of it."""
        return {}


def balance_of(job: Job, plan: StagePlan, reduce: Reduce) -> Balance:
    """What `training.balance` asks for, in this stage.

    Raises:
        ConfigError: the heads do not fit. DataError: there is no valid split that it could learn from.
    """
    from mmsdk.training.gradient_blend import GradientBlend
    from mmsdk.training.ogm_ge import OgmGe

    chosen = job.config.training.balance
    if chosen is None:
        return Balance(job, plan, reduce)
    return OgmGe(job, plan, reduce) if isinstance(chosen, OgmGeConfig) else GradientBlend(job, plan, reduce)
