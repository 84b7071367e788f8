"""Drawing pictures: from noise, step by step, with guidance."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from mmsdk import Encoding
from mmsdk_diffusion.noising import COSINE, TIMES, Prediction

Scheduler = Literal["ddpm", "ddim", "dpm_solver", "euler"]
Denoise = Callable[[Tensor, Tensor, Encoding], Tensor]


@dataclass(frozen=True)
class Sampling:
    """How pictures are drawn.

    scheduler: ddpm (Ho et al. 2020) adds fresh noise in a step; ddim (Song et al., "Denoising Diffusion Implicit
    Models", 2021), dpm_solver (Lu et al., "DPM-Solver++", 2022) and euler add none. euler is for flows, and they for
    it. steps: how often the network is asked. guidance: w in unconditional + (1 + w) * (conditional - unconditional)
    (Ho and Salimans, "Classifier-Free Diffusion Guidance", 2022): 0 follows the condition as it was learned, more
    exaggerates it, -1 ignores it. seed: of the noise. number: pictures of each condition; the k-th one is that of seed
    plus k.
    """

    scheduler: Scheduler = "ddim"
    steps: int = 50
    guidance: float = 0.5
    seed: int = 0
    number: int = 1


def scheduler_of(name: Scheduler, prediction: Prediction) -> Any:
    """A fresh scheduler of diffusers, for pictures in -1..1."""
    if name == "euler":
        from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler

        return FlowMatchEulerDiscreteScheduler(num_train_timesteps=TIMES)
    told = "v_prediction" if prediction == "v" else prediction
    settings = {**COSINE, "timestep_spacing": "trailing", "prediction_type": told}
    if name == "dpm_solver":
        from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler

        return DPMSolverMultistepScheduler(**settings, thresholding=True)
    if name == "ddim":
        from diffusers.schedulers.scheduling_ddim import DDIMScheduler

        return DDIMScheduler(**settings)
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

    return DDPMScheduler(**settings)


@torch.no_grad()
def draw(
    denoise: Denoise, condition: Encoding, shape: Sequence[int], prediction: Prediction, sampling: Sampling
) -> Tensor:
    """Pictures [n, number, *shape] around -1..1 for each of n conditions.

    Noise follows from the seed alone: a picture depends on its condition, not on its neighbours, and pictures of
    different conditions from the same noise can be compared.
    """
    rows, device = len(condition.pooled), condition.pooled.device
    repeated = Encoding(*(part.repeat_interleave(sampling.number, dim=0) for part in condition))
    seeds = [sampling.seed + number for number in range(sampling.number)] * rows
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    noisy = torch.stack([torch.randn(tuple(shape), generator=each) for each in generators]).to(device)
    scheduler = scheduler_of(sampling.scheduler, prediction)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # diffusers makes arrays of tensors as numpy 1 wanted it
        scheduler.set_timesteps(sampling.steps, device=device)
    for time in scheduler.timesteps:
        told = guided(denoise, noisy, time.expand(len(noisy)), repeated, sampling.guidance)
        noisy = scheduler.step(told, time, noisy, generator=generators, return_dict=False)[0]
    return noisy.view(rows, sampling.number, *shape)


def guided(denoise: Denoise, noisy: Tensor, times: Tensor, condition: Encoding, guidance: float) -> Tensor:
    """unconditional + (1 + guidance) * (conditional - unconditional); only what is needed is computed."""
    nothing = without(condition, torch.ones_like(condition.present))
    if guidance in (0, -1):
        return denoise(noisy, times, nothing if guidance else condition)
    both = Encoding(*(torch.cat(parts) for parts in zip(condition, nothing, strict=True)))
    conditional, unconditional = denoise(noisy.repeat(2, 1, 1, 1), times.repeat(2), both).chunk(2)
    return unconditional + (1 + guidance) * (conditional - unconditional)


def without(condition: Encoding, dropped: Tensor) -> Encoding:
    """The condition, absent in the rows that are `dropped` [n] and in those where it was so already."""
    gone = dropped | ~condition.present
    return Encoding(
        condition.tokens.masked_fill(gone[:, None, None], 0),
        condition.mask & ~gone[:, None],
        condition.pooled.masked_fill(gone[:, None], 0),
    )
