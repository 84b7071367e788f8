"""On-the-fly gradient modulation with generalization enhancement: `training.balance: ogm_ge`.

Peng, Wei, Deng, Wang, Hu, "Balanced Multimodal Learning via On-the-fly Gradient Modulation", 2022.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan, tanh

import torch
from torch import Tensor

from mmsdk.config.balance import OgmGeConfig, judges
from mmsdk.containers import Batch, HeadOutput, Inputs
from mmsdk.data.sampling import step_seed
from mmsdk.errors import ConfigError
from mmsdk.interfaces import ScoringHead
from mmsdk.pipeline.pipeline import target_of
from mmsdk.training.balance import Balance, Reduce
from mmsdk.training.job import Job
from mmsdk.training.plan import StagePlan

LEAST = 1e-6
NO_RANK = 2**31
"""In the place of a process's rank, so that the noise is all processes' and nothing else's."""


def coefficients(confidences: Mapping[str, float], alpha: float) -> dict[str, float]:
    """The share of its step that each stream's encoder takes: 1 - tanh(alpha * ratio) where ratio > 1, else 1.

    The ratio is a stream's confidence over the mean of the others'; with two streams, as in the paper, over the other
    one's. A confidence is the mean probability of the true class; NaN where no row told.
    """
    known = {stream: value for stream, value in confidences.items() if not isnan(value)}
    found = dict.fromkeys(confidences, 1.0)
    for stream, own in known.items() if len(known) > 1 else ():
        others = (sum(known.values()) - own) / (len(known) - 1)
        ratio = own / max(others, LEAST)
        if ratio > 1:
            found[stream] = 1 - tanh(alpha * ratio)
    return found


class OgmGe(Balance):
    """Slows down the encoders of streams whose own heads are ahead of the others, step by step.

    The share of a step is that of its rate, not of its gradient: for plain gradient descent this is the same, while
    the optimizer here, AdamW, takes equally large steps however small the gradients are. The noise is Gaussian, with
    the standard deviation of each parameter's own gradient, and the same in all processes.
    """

    def __init__(self, job: Job, plan: StagePlan, reduce: Reduce) -> None:
        super().__init__(job, plan, reduce)
        assert isinstance(job.config.training.balance, OgmGeConfig)
        self.config, self.judges = job.config.training.balance, judges(job.config, plan.weights)
        for heads in self.judges.values():
            for name in heads:
                _require_classes(job, name)
        self.sums: Tensor | None = None

    def see(self, outputs: Mapping[str, HeadOutput], batch: Batch) -> None:
        """Sums of the probability of the true class, and counts of rows, [2, streams]."""
        if self.judges:
            own = [
                torch.stack([confidence(outputs[name], target_of(batch, name)) for name in heads]).sum(dim=0)
                for heads in self.judges.values()
            ]
            sums = torch.stack(own, dim=1)
            self.sums = sums if self.sums is None else self.sums + sums

    def forget(self) -> None:
        self.sums = None

    def modulate(self, optimizer: torch.optim.Optimizer) -> None:
        if self.sums is None:
            return
        sums, counts = self.reduce(self.sums, "sum").tolist()
        self.sums = None
        means = [own / count if count else float("nan") for own, count in zip(sums, counts, strict=True)]
        found = coefficients(dict(zip(self.judges, means, strict=True)), self.config.alpha)
        for group in optimizer.param_groups:
            group["lr"] *= found.get(group["stream"], 1.0)
        if self.config.noise:
            self._add_noise()
        for stream, coefficient in found.items():
            before = self.job.position.balance.get(stream, [0.0, 0])
            self.job.position.balance[stream] = [before[0] + coefficient, before[1] + 1]

    def _add_noise(self) -> None:
        position, pipeline = self.job.position, self.job.pipeline
        seed = step_seed(self.job.config.training.seed, position.total, NO_RANK)
        generator = torch.Generator(pipeline.device).manual_seed(seed)
        for stream in self.judges:
            for parameter in pipeline.streams[stream].encoder.parameters():
                if parameter.requires_grad and parameter.grad is not None:
                    gradient = parameter.grad
                    noise = torch.randn(gradient.shape, generator=generator, device=gradient.device)
                    gradient.add_(noise.to(gradient.dtype) * gradient.std(correction=0))

    def epoch(self, epoch: int) -> dict[str, dict[str, float]]:
        """The mean coefficient of each stream."""
        sums, self.job.position.balance = self.job.position.balance, {}
        return {"coefficients": {stream: own / steps for stream, (own, steps) in sums.items()}} if sums else {}


def confidence(output: HeadOutput, target: Inputs | None) -> Tensor:
    """[2]: the sum of the true class's probability over rows that are present and have one, and how many these are.

    Where the target is a share for each class, the probability that a class drawn by these shares is right.
    """
    assert output.scores is not None and output.present is not None and target is not None
    counts = output.present & target["present"]  # [batch]
    shares = output.scores.detach().exp()  # [batch, classes]
    if "probabilities" in target:
        true = (shares * target["probabilities"]).sum(dim=1)
    else:
        true = shares.gather(1, target["ids"][:, None])[:, 0]
    return torch.stack([true.masked_fill(~counts, 0).sum(), counts.sum().to(true.dtype)])


def _require_classes(job: Job, name: str) -> None:
    head = job.pipeline.heads[name]
    if not isinstance(head, ScoringHead) or head.space != "log_probabilities":
        kind = job.config.heads[name].type_name()
        raise ConfigError(
            f"training.balance: 'ogm_ge' compares probabilities of classes, but head '{name}' ({kind}) gives none: "
            "write 'balance: gradient_blend', or remove 'balance'"
        )
