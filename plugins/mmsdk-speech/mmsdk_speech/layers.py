"""What the encoders share. Nothing here depends on how far a batch is padded."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmsdk import Inputs
from mmsdk_speech.features import LogMel
from mmsdk_speech.masking import SpecAugment

Halving = Literal["stride", "maximum"]

QUIET = 0.1
"""Added to the standard deviation: what hardly varies, such as silence, must not be blown up."""


class Spectrogram(nn.Module):
    """Inputs of the kind `waveform` as frames: features, normalised per row, and in training partly hidden."""

    def __init__(self, features: LogMel, normalize: bool, augment: SpecAugment | None) -> None:
        super().__init__()
        self.features, self.normalize, self.augment = features, normalize, augment
        self.width = features.width

    def forward(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """samples [n, time], mask [n, time] -> frames [n, length, width], zeros in the padding, mask [n, length]."""
        frames, mask = self.features(inputs["samples"], inputs["mask"])
        if self.normalize:
            frames = normalized(frames, mask)
        if self.augment is not None:
            frames = self.augment(frames, mask)
        return frames.masked_fill(~mask[..., None], 0), mask


def normalized(frames: Tensor, mask: Tensor) -> Tensor:
    """frames [n, length, bins], mask [n, length] bool: mean 0 over the time of each row and bin, deviation 1 over all
    bins of a row together. Were each bin blown up by itself, those that hold noise alone would be as loud as speech."""
    there = mask[..., None].to(frames.dtype)  # [n, length, 1]
    count = there.sum(dim=1, keepdim=True).clamp(min=1)
    frames = (frames - frames[:, :1]) * there  # a bin that never changes is now 0, and stays that to the last digit
    centred = (frames - frames.sum(dim=1, keepdim=True) / count) * there
    variance = (centred.square().sum(dim=1, keepdim=True) / count).mean(dim=2, keepdim=True)  # [n, 1, 1]
    return centred / ((variance + 1e-10).sqrt() + QUIET)


class MaskedNorm(nn.Module):
    """Group normalisation with one group (Wu and He, "Group Normalization", 2018) over what is not padding."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels, 1, 1))
        self.shift = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, grid: Tensor, there: Tensor) -> Tensor:
        """grid [n, channels, length, bins], there [n, 1, length, 1] of 0 and 1 -> the same, zeros in the padding."""
        count = (there.sum(dim=2, keepdim=True) * grid.shape[1] * grid.shape[3]).clamp(min=1)
        grid = grid * there
        centred = (grid - grid.sum(dim=(1, 2, 3), keepdim=True) / count) * there
        variance = centred.square().sum(dim=(1, 2, 3), keepdim=True) / count  # [n, 1, 1, 1]
        return (centred * (variance + 1e-5).rsqrt() * self.scale + self.shift) * there


class Convolution(nn.Module):
    """A 3x3 convolution over time and frequency that halves the bins, and the length where `stride` is 2.

    halving: "stride" skips every other place, "maximum" takes the larger of each two. The latter is slower, but what
    comes a little later, or sounds a little higher, changes less.
    """

    def __init__(self, before: int, after: int, stride: int, halving: Halving) -> None:
        super().__init__()
        self.stride, self.halving = stride, halving
        steps = (stride, 2) if halving == "stride" else (1, 1)
        self.convolution = nn.Conv2d(before, after, 3, steps, padding=1, bias=False)
        self.norm = MaskedNorm(after)

    def forward(self, grid: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """grid [n, before, length, bins], zeros in the padding, mask [n, length] bool."""
        shorter = mask[:, :: self.stride]  # step i of the result stands for what came in from i * stride on
        there = shorter if self.halving == "stride" else mask
        grid = self.convolution(grid)
        grid = self.norm(grid, there[:, None, :, None].to(grid.dtype)).relu()
        if self.halving == "maximum":  # of what is not negative: the zeros of the padding never win
            grid = functional.max_pool2d(grid, (self.stride, 2), ceil_mode=True)
        return grid, shorter


class Convolutions(nn.Module):
    """Frames as a picture: convolutions, the last of `width` / 2 channels, then one linear layer over each column."""

    def __init__(self, bins: int, width: int, strides: Sequence[int], dropout: float, halving: Halving) -> None:
        super().__init__()
        channels = [1, *(max(8, width >> halvings) for halvings in range(len(strides), 0, -1))]
        self.layers = nn.ModuleList(
            Convolution(*pair, stride, halving) for pair, stride in zip(pairwise(channels), strides, strict=True)
        )
        for _ in strides:
            bins = (bins + 1) // 2
        self.join = nn.Linear(channels[-1] * bins, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, frames: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """frames [n, length, bins], mask [n, length] bool -> [n, shorter, width], mask [n, shorter] bool."""
        grid = frames[:, None].contiguous(memory_format=torch.channels_last)
        for layer in self.layers:
            grid, mask = layer(grid, mask)
        columns = grid.transpose(1, 2).flatten(2)  # [n, shorter, channels * bins]
        return self.join(self.dropout(columns)), mask
