"""SpecAugment: what hides parts of a spectrum from the encoder, in training only."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SpecAugment(nn.Module):
    """Hides stretches of time and bands of frequency (Park et al., "SpecAugment: A Simple Data Augmentation Method for
    Automatic Speech Recognition", 2019), and stretches the frequency axis, as voices of other sizes do (Jaitly and
    Hinton, "Vocal Tract Length Perturbation (VTLP) improves speech recognition", 2013).

    time_masks, frequency_masks: how many. time, frequency: the length of each, at most, as a share of the row's frames
    or of the bins. warp: the share by which the frequency axis grows or shrinks, at most. Each row draws its own.
    The frames come in normalised, so that 0, which hides, is their mean.
    """

    def __init__(
        self,
        time_masks: int = 2,
        time: float = 0.2,
        frequency_masks: int = 2,
        frequency: float = 0.2,
        warp: float = 0.0,
    ) -> None:
        super().__init__()
        self.time_masks, self.time = time_masks, time
        self.frequency_masks, self.frequency = frequency_masks, frequency
        self.warp = warp

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """frames [n, length, bins], mask [n, length] bool -> the same shape; unchanged outside training."""
        if not self.training:
            return frames
        if self.warp:
            frames = warped(frames, 1 + self.warp * (2 * torch.rand(len(frames), device=frames.device) - 1))
        lengths = mask.sum(dim=1)
        bins = lengths.new_full(lengths.shape, frames.shape[2])
        hidden_times = hidden(lengths, mask.shape[1], self.time_masks, self.time)[..., None]  # [n, length, 1]
        hidden_bins = hidden(bins, frames.shape[2], self.frequency_masks, self.frequency)[:, None]  # [n, 1, bins]
        return frames.masked_fill(hidden_times | hidden_bins, 0)


def hidden(lengths: Tensor, longest: int, masks: int, share: float) -> Tensor:
    """Which places lie in one of `masks` random stretches of each row, [n, longest] bool.

    lengths [n]: the stretches lie before it, each of 0 to `share` of it.
    """
    width, start = torch.rand(2, masks, len(lengths), 1, device=lengths.device)  # [masks, n, 1] each, in 0..1
    width = width * share * lengths[:, None]
    start = start * (lengths[:, None] - width)
    middles = torch.arange(longest, device=lengths.device) + 0.5  # [longest]
    found: Tensor = ((start <= middles) & (middles < start + width)).any(dim=0)
    return found


def warped(frames: Tensor, factors: Tensor) -> Tensor:
    """frames [n, length, bins], factors [n]: bin b of the result is what stood at b * factor, between two bins as
    their mixture, and above the highest as that one."""
    bins = torch.arange(frames.shape[2], device=frames.device)
    source = (bins * factors[:, None]).clamp(max=frames.shape[2] - 1)  # [n, bins]
    weights = (1 - (source[:, None] - bins[:, None]).abs()).clamp(min=0)  # [n, bins before, bins after]
    return frames @ weights.to(frames.dtype)
