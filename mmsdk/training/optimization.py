"""What a stage trains: which parameters, at which rates, after which schedule."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from mmsdk.config.training import StageConfig, TrainingConfig
from mmsdk.config.wiring import FUSED
from mmsdk.errors import ConfigError, listed
from mmsdk.pipeline.pipeline import Pipeline
from mmsdk.training.blocks import rate_shares


def freeze(pipeline: Pipeline, stage: StageConfig, heads: Iterable[str]) -> None:
    """Let gradients flow only where the stage's heads reach, and not into the parts that it freezes.

    Frozen parts are in eval mode too: no dropout there.
    """
    names = trained(pipeline, stage, heads)
    for name, parameter in pipeline.named_parameters():
        parameter.requires_grad_(name in names)
    pipeline.train()
    for name, module in pipeline.named_modules():
        if name and _within(name, stage.freeze):
            module.eval()


def trained(pipeline: Pipeline, stage: StageConfig, heads: Iterable[str]) -> set[str]:
    """The parameters that a stage trains.

    Raises:
        ConfigError: it names a part that is not there, layers that are not there, or nothing is left to train.
    """
    for part in [*stage.freeze, *stage.learning_rates]:
        _require(pipeline, part)
    rate_shares(pipeline, stage.layer_decay)
    reached = _reached(pipeline, heads)
    names = {name for name, _ in pipeline.named_parameters() if _within(name, reached)}
    names -= {name for name in names if _within(name, stage.freeze)}
    for stream, encoder in pipeline.encoders.items():
        names -= {f"streams.{stream}.encoder.{name}" for name in encoder.fixed}
    for each, head in pipeline.heads.items():
        names -= {f"heads.{each}.{name}" for name in head.fixed}
    if not names:
        raise ConfigError(f"Stage '{stage.name}' trains nothing: its heads reach {listed(reached)}, and all is frozen.")
    return names


def _reached(pipeline: Pipeline, heads: Iterable[str]) -> list[str]:
    config = pipeline.config
    parts: list[str] = []
    for head in heads:
        parts.append(f"heads.{head}")
        for read in config.heads[head].reads:
            fused = read.partition(".")[0] == FUSED
            parts += ["fusion"] * fused
            parts += [f"streams.{config.owner_of(name)}" for name in (config.streams if fused else [read])]
    return list(dict.fromkeys(parts))


def _within(name: str, parts: Iterable[str]) -> bool:
    return any(name == part or name.startswith(part + ".") for part in parts)


def _require(pipeline: Pipeline, part: str) -> None:
    names = [name for name, _ in pipeline.named_parameters()]
    if not any(_within(name, [part]) for name in names):
        raise ConfigError(f"There is no part '{part}' with parameters. Such as: {listed(names[:5])}.")


def optimizer(pipeline: Pipeline, stage: StageConfig, training: TrainingConfig) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter 2019), fused where possible; no decay on biases, norms and scales.

    Each group keeps its own top rate as "peak"; `set_rates` moves them together. Where streams are to be balanced,
    encoders are in groups of their own, and "stream" says whose.
    """
    groups: dict[tuple[float, float, str], list[nn.Parameter]] = {}
    shares = rate_shares(pipeline, stage.layer_decay)
    for name, parameter in pipeline.named_parameters():
        if parameter.requires_grad:
            own = [part for part in stage.learning_rates if _within(name, [part])]
            rate = stage.learning_rate or training.learning_rate
            rate = (stage.learning_rates[max(own, key=len)] if own else rate) * shares.get(name, 1.0)
            decay = training.weight_decay if parameter.dim() > 1 else 0.0
            stream = name.split(".")[1] if training.balance is not None and _within(name, ["streams"]) else ""
            groups.setdefault((rate, decay, stream), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": each, "lr": rate, "peak": rate, "weight_decay": decay, "stream": stream}
            for (rate, decay, stream), each in groups.items()
        ],
        fused=True,
    )


def schedule(step: int, steps: int, training: TrainingConfig) -> float:
    """The share of the top rate at a step: a linear rise, then the decay of `training.schedule`."""
    warm = round(training.warmup * steps)
    if step < warm:
        return (step + 1) / (warm + 1)
    done = (step - warm) / max(1, steps - warm)
    if training.schedule == "linear":
        return 1 - done
    return 0.5 * (1 + math.cos(math.pi * done)) if training.schedule == "cosine" else 1.0


def set_rates(optimizer: torch.optim.Optimizer, share: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * share
