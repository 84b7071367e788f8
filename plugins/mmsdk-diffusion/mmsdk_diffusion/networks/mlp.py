"""`mlp`: layers over all pixels at once, for very small pictures."""

from __future__ import annotations

import math

from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from torch import Tensor, nn

from mmsdk import Encoding
from mmsdk_diffusion.networks.denoiser import Denoiser

FREQUENCIES = 128
"""Sines and cosines that a time is turned into."""


class MLP(Denoiser):
    """Residual layers over the flat pixels; time and condition scale and shift what comes into each (as in FiLM, Perez
    et al., "FiLM: Visual Reasoning with a General Conditioning Layer", 2018). It reads the pooled vector alone.

    sizes: height and width. pooled_width: of the condition. layers: how many, of two linear layers each.
    """

    def __init__(self, sizes: tuple[int, int], pooled_width: int, width: int = 512, layers: int = 4) -> None:
        super().__init__()
        pixels = 3 * math.prod(sizes)
        self.pixels = nn.Linear(pixels, width)
        self.waves = Timesteps(FREQUENCIES, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time = TimestepEmbedding(FREQUENCIES, width)
        self.condition = nn.Linear(pooled_width, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.noise = nn.Linear(width, pixels)

    def forward(self, noisy: Tensor, times: Tensor, condition: Encoding) -> Tensor:
        hints = self.time(self.waves(times)) + self.condition(condition.pooled)  # [n, width]
        states = self.pixels(noisy.flatten(1))  # [n, width]
        for block in self.blocks:
            states = block(states, hints)
        predicted: Tensor = self.noise(self.norm(states)).view_as(noisy)
        return predicted


class Block(nn.Module):
    """Two layers, added to what came in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.scale_and_shift = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))
        self.layers = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, states: Tensor, hints: Tensor) -> Tensor:
        """states [n, width], hints [n, width] -> [n, width]."""
        scale, shift = self.scale_and_shift(hints).chunk(2, dim=1)
        changed: Tensor = self.layers(self.norm(states) * (1 + scale) + shift)
        return states + changed
