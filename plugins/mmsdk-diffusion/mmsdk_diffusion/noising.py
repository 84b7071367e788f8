"""How pictures become noise, and what a network learns to tell of it."""

from __future__ import annotations

from typing import Literal

import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor

Prediction = Literal["epsilon", "v", "sample", "flow"]
TIMES = 1000
"""Times run from 0, a clean picture, to this, nothing but noise."""
COSINE = {"num_train_timesteps": TIMES, "beta_schedule": "squaredcos_cap_v2"}
"""The cosine schedule of Nichol and Dhariwal ("Improved Denoising Diffusion Probabilistic Models", 2021)."""


class Noising:
    """Mixes pictures with noise, x = a(time) * picture + b(time) * noise, and knows what is to be predicted from x.

    epsilon: the noise (Ho et al., "Denoising Diffusion Probabilistic Models", 2020). sample: the picture. v: a * noise
    - b * picture (Salimans and Ho, "Progressive Distillation for Fast Sampling of Diffusion Models", 2022). flow: noise
    - picture, where a = 1 - b = 1 - time / 1000 (Lipman et al., "Flow Matching for Generative Modeling", 2023; Liu et
    al., "Flow Straight and Fast", 2023).
    """

    def __init__(self, prediction: Prediction) -> None:
        self.prediction = prediction
        self.schedule = DDPMScheduler(**COSINE)

    def __call__(self, pictures: Tensor, noise: Tensor, where: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """pictures and noise [n, ...], where [n] in 0..1 -> what is seen, its times [n], what is to be told."""
        if self.prediction == "flow":
            share = where.view(-1, *[1] * (pictures.dim() - 1))
            return (1 - share) * pictures + share * noise, TIMES * where, noise - pictures
        times = (TIMES * where).long().clamp(max=TIMES - 1)
        noisy = self.schedule.add_noise(pictures, noise, times)
        if self.prediction == "v":
            return noisy, times, self.schedule.get_velocity(pictures, noise, times)
        return noisy, times, noise if self.prediction == "epsilon" else pictures

    def weights(self, times: Tensor) -> Tensor | float:
        """What an error at these times counts, [n].

        Where a picture is to be told and most of it can be seen, errors are small, and edges hang on them: they count
        by the ratio of signal to noise, at least 1 (Salimans and Ho 2022), at most 5 (Hang et al., "Efficient
        Diffusion Training via Min-SNR Weighting Strategy", 2023). All other errors count 1.
        """
        if self.prediction != "sample":
            return 1.0
        shares: Tensor = self.schedule.alphas_cumprod.to(times.device)[times]
        return (shares / (1 - shares)).clamp(min=1, max=5)


class FixedNoise(torch.nn.Module):
    """Noise for pictures that are measured: the same one each time, chosen by the picture's own pixels.

    So a figure does not depend on luck, on the order of rows, on batches or on processes. There are `COUNT` noises,
    each with a time of its own, spread evenly.
    """

    COUNT = 64

    def __init__(self, sizes: tuple[int, int]) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("noise", torch.randn(self.COUNT, 3, *sizes, generator=generator), persistent=False)
        factors = torch.randint(2**20, (3, *sizes), generator=generator)
        self.register_buffer("factors", factors, persistent=False)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """pictures [n, 3, height, width] in -1..1 -> noise [n, 3, height, width], where [n] in 0..1."""
        levels = (127.5 * (pictures + 1)).round().long()  # [n, 3, height, width]; sums of whole numbers have no order
        chosen = (levels * self.get_buffer("factors")).sum(dim=(1, 2, 3)) % 65537 % self.COUNT  # [n]
        return self.get_buffer("noise")[chosen], (chosen + 0.5) / self.COUNT
