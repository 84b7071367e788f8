"""`cnn`: an image as a grid of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from mmsdk.builtin.layers.positions import coordinates
from mmsdk.containers import Encoding, Inputs
from mmsdk.formats import Format
from mmsdk.interfaces import Encoder

FEWEST_CHANNELS = 16
SMALLEST_SIDE = 4


class CnnEncoder(Encoder):
    """3x3 convolutions that halve the grid and double the channels up to `width`, with group normalisation (Wu and
    He, "Group Normalization", 2018), over pixels that know where they are (Liu et al., "An intriguing failing of
    convolutional neural networks and the CoordConv solution", 2018).

    Tokens [n, rows * columns, width] are the last grid, row by row. Pooled [n, width] is a linear layer over its mean
    and its maximum: a small object is lost in a mean. No grid gets smaller than 4x4 by halving; the layers after
    that keep its size. It is halved by convolutions that skip every other place, or, with `halving="maximum"`, by the
    largest of each 2x2: slower, but what moves by a pixel changes less.
    """

    def __init__(
        self,
        format: Format,
        width: int = 128,
        *,
        layers: int = 3,
        halving: Literal["stride", "maximum"] = "stride",
    ) -> None:
        super().__init__()
        self.width = self.pooled_width = width
        fewest = min(width, FEWEST_CHANNELS)
        channels = [5, *(max(width >> halvings, fewest) for halvings in reversed(range(layers)))]
        side = min(format.sizes)
        self.layers = nn.Sequential()
        for before, after in pairwise(channels):
            stride = 2 if side + 1 >= 2 * SMALLEST_SIDE else 1
            side = (side + stride - 1) // stride  # rounded up, as the layer does
            self.layers.append(_layer(before, after, stride, halving))
        self.pooling = nn.Linear(2 * width, width)

    @property
    def blocks(self) -> Sequence[nn.Module]:
        return list(self.layers)

    def forward(self, inputs: Inputs) -> Encoding:
        pixels = inputs["pixels"] * 2 - 1  # [n, 3, height, width], around zero
        places = coordinates(pixels.shape[2], pixels.shape[3], pixels).expand(pixels.shape[0], -1, -1, -1)
        seen = torch.cat([pixels, places], dim=1).contiguous(memory_format=torch.channels_last)  # faster on processors
        grid: Tensor = self.layers(seen)  # [n, width, rows, columns]
        tokens = grid.flatten(2).transpose(1, 2)  # [n, rows * columns, width]
        pooled = self.pooling(torch.cat([tokens.mean(dim=1), tokens.amax(dim=1)], dim=1))
        return Encoding(tokens, tokens.new_ones(tokens.shape[:2], dtype=torch.bool), pooled)


def _layer(before: int, after: int, stride: int, halving: Literal["stride", "maximum"]) -> nn.Module:
    skipped = stride if halving == "stride" else 1
    # One group: with few channels per group a norm would erase what the mean of a channel says.
    parts = [nn.Conv2d(before, after, 3, skipped, padding=1), nn.GroupNorm(1, after), nn.ReLU()]
    if skipped < stride:
        parts.append(nn.MaxPool2d(stride, ceil_mode=True))
    return nn.Sequential(*parts)
