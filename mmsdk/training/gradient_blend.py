"""Gradient blending: `training.balance: gradient_blend`.

Wang, Tran, Feiszli, "What Makes Training Multi-Modal Classification Networks Hard?", 2020.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mmsdk.config.balance import GradientBlendConfig, families
from mmsdk.data.samples import Row
from mmsdk.data.sampling import batches, share, shuffled
from mmsdk.errors import DataError, DecodeError
from mmsdk.evaluation.measuring import BATCH_SIZE, collated
from mmsdk.pipeline.prediction import inference, outputs_of
from mmsdk.training.balance import Balance, Reduce
from mmsdk.training.job import Job
from mmsdk.training.learners import advice
from mmsdk.training.plan import StagePlan

LEAST_OVERFITTING = 0.1
"""Of the largest in a family: less counts as this much, or one lucky figure would take all."""
EVENLY = 0.1
"""The share of a family's weight that is spread evenly, so that no head is left without any."""


DIGITS = 3
"""Of a share: more would differ with the order in which losses are added up, as by several processes."""


class Losses(NamedTuple):
    """Mean losses of a head at one moment."""

    train: float
    valid: float


def blended(before: Mapping[str, Losses], now: Mapping[str, Losses]) -> dict[str, float] | None:
    """The shares of a family's heads, which add up to 1; None where no head has become better.

    generalization: G = valid loss before - valid loss now, at least 0
    overfitting: O = what the gap, valid loss - train loss, has grown by
    share: G / O^2, divided by the sum of these over the family
    """
    gains = {name: max(0.0, before[name].valid - now[name].valid) for name in now}
    if not any(gains.values()):
        return None
    grown = {name: abs((now[name].valid - now[name].train) - (before[name].valid - before[name].train)) for name in now}
    least = LEAST_OVERFITTING * max(grown.values())
    ratios = {name: gains[name] / (max(grown[name], least) ** 2 or 1.0) for name in now}
    whole = sum(ratios.values())
    return {name: round((1 - EVENLY) * ratio / whole + EVENLY / len(ratios), DIGITS) for name, ratio in ratios.items()}


class GradientBlend(Balance):
    """Estimates the weights of the losses of each family of heads anew, every so many epochs.

    A family's weights add up to what they add up to in the config, with whose weights a stage begins. The paper trains
    a copy of the model for each loss to estimate a weight; here the heads are watched while they train together, which
    costs two evaluations.
    """

    def __init__(self, job: Job, plan: StagePlan, reduce: Reduce) -> None:
        super().__init__(job, plan, reduce)
        assert isinstance(job.config.training.balance, GradientBlendConfig)
        self.config, self.families = job.config.training.balance, families(job.config, plan.weights)
        self.heads = [name for family in self.families for name in family]
        if self.heads:
            self._require_valid()

    @property
    def weights(self) -> Mapping[str, float]:
        return {**self.plan.weights, **self.job.position.balance.get("weights", {})}

    def begin(self) -> None:
        if self.heads and not self.job.position.balance:
            self.job.position.balance = {"weights": {}, "losses": self._losses()}

    def epoch(self, epoch: int) -> dict[str, dict[str, float]]:
        """The weights from now on, where they have been estimated anew."""
        if not self.heads or epoch % self.config.epochs or epoch == self.plan.epochs:
            return {}
        position = self.job.position
        before = {name: Losses(*own) for name, own in position.balance["losses"].items()}
        now, weights = self._losses(), dict(position.balance["weights"])
        for family in self.families:
            shares = blended({name: before[name] for name in family}, {name: now[name] for name in family})
            whole = sum(self.plan.weights[name] for name in family)
            weights |= {name: own * whole for name, own in (shares or {}).items()}
        position.balance = {"weights": weights, "losses": now}
        return {"weights": dict(self.weights)}

    def _losses(self) -> dict[str, Losses]:
        plan, training = self.plan, self.job.config.training
        some = shuffled(len(plan.train), training.seed, plan.number, 0)[: self.config.samples]
        train = self._mean([plan.train[place] for place in sorted(some)])
        return {name: Losses(*both) for name, *both in zip(self.heads, train, self._mean(plan.valid), strict=True)}

    def _mean(self, rows: Sequence[Row]) -> list[float]:
        """The mean loss of each head on rows, over all processes, with the weights as they are."""
        job = self.job
        skipped: list[DecodeError] = []
        sums = torch.zeros(2, len(self.heads))
        shares = (share(whole, job.rank, job.processes)[0] for whole in batches(range(len(rows)), BATCH_SIZE))
        some = ([rows[place] if place >= 0 else None for place in own] for own in shares)
        for _, batch in collated(job.pipeline, some, self.heads, skipped):
            with inference(job.pipeline):
                outputs = outputs_of(job.pipeline, batch, self.heads)
            sums += torch.tensor([[_number(each.loss), _number(each.count)] for each in outputs.values()]).T
        job.bad.take(skipped)
        totals, counts = self.reduce(sums.to(job.pipeline.device), "sum").tolist()
        return [total / max(count, 1.0) for total, count in zip(totals, counts, strict=True)]

    def _require_valid(self) -> None:
        for port in self.job.pipeline.modalities.target_ports:
            if port.name in self.heads and all(port.raw(row) is None for row in self.plan.valid):
                found = f"no row in it has the target of head '{port.name}'" if self.plan.valid else "it has no rows"
                raise DataError(
                    "training.balance: 'gradient_blend' compares losses with those on the split "
                    f"'{self.plan.valid_split}' ({found}). {advice(self.plan)}, or write 'balance: none'"
                )


def _number(tensor: Tensor | None) -> float:
    assert tensor is not None
    return float(tensor)
