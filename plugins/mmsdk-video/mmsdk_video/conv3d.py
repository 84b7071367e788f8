"""`video.conv3d`: convolutions over space and time, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from mmsdk import Encoder, Encoding, Inputs, MeanMax

FEWEST_CHANNELS = 16
SMALLEST_SIDE = 4


def hidden_channels(before: int, after: int, time: int = 3, side: int = 3) -> int:
    """Channels between the two halves of a (2+1)D convolution, so that it has as many weights as the 3D one.

    floor(t d^2 N' N / (d^2 N' + t N)) for kernels of t steps and d x d pixels, N' channels before and N after.
    """
    return (time * side**2 * before * after) // (side**2 * before + time * after)


class Layer(nn.Module):
    """A convolution over each frame, which may halve its sides, then one over time at each place, which may halve the
    length. Each is followed by a group normalisation (Wu and He, "Group Normalization", 2018) of every frame by
    itself, which cannot see the padding, and a ReLU."""

    def __init__(self, before: int, after: int, stride: int, time_stride: int) -> None:
        super().__init__()
        hidden = hidden_channels(before, after)
        self.time_stride = time_stride
        self.over_space = nn.Conv2d(before, hidden, 3, stride, padding=1, bias=False)
        self.space_norm = nn.GroupNorm(1, hidden)
        self.over_time = nn.Conv2d(hidden, after, (3, 1), (time_stride, 1), padding=(1, 0), bias=False)
        self.time_norm = nn.GroupNorm(1, after)

    def forward(self, frames: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """frames [n, length, before, height, width], mask [n, length] bool -> the same, smaller, and its mask."""
        grid = self.space_norm(self.over_space(frames.flatten(0, 1))).relu()  # [n * length, hidden, rows, columns]
        rows, columns = grid.shape[2:]
        grid = grid.view(*mask.shape, *grid.shape[1:])
        # What is convolved over time has zeros before its beginning, and must have them after its end.
        grid = grid.masked_fill(~mask[..., None, None, None], 0)
        moved = self.over_time(grid.transpose(1, 2).flatten(3))  # [n, after, shorter, rows * columns]
        mask = mask[:, :: self.time_stride]  # step i of the result is centred on step i * stride of what came in
        grid = moved.transpose(1, 2).reshape(-1, moved.shape[1], rows, columns)
        return self.time_norm(grid).relu().view(*mask.shape, -1, rows, columns), mask


class Conv3d(Encoder):
    """Convolutions over space and time, factorised into the two (Tran et al., "A Closer Look at Spatiotemporal
    Convolutions for Action Recognition", 2018), of few layers, hence without residual connections.

    Tokens [n, length / 2 ** halvings, width], one per remaining step of time: a linear layer over the mean and the
    maximum of its grid. Channels double up to `width`; no grid gets smaller than 4x4 by halving.
    """

    def __init__(
        self,
        sizes: tuple[int, ...],
        width: int = 128,
        *,
        layers: int = 3,
        halvings: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.width = self.pooled_width = width
        fewest, side = min(width, FEWEST_CHANNELS), min(sizes)
        channels = [3, *(max(width >> doublings, fewest) for doublings in reversed(range(layers)))]
        self.layers = nn.ModuleList()
        for place, (before, after) in enumerate(pairwise(channels)):
            stride = 2 if side + 1 >= 2 * SMALLEST_SIDE else 1
            side = (side + stride - 1) // stride  # rounded up, as the convolution does
            self.layers.append(Layer(before, after, stride, 2 if place >= layers - halvings else 1))
        self.join = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * width, width))
        self.pooling = MeanMax(width)

    @property
    def blocks(self) -> Sequence[nn.Module]:
        return list(self.layers)

    def forward(self, inputs: Inputs) -> Encoding:
        frames, mask = inputs["frames"] * 2 - 1, inputs["mask"]  # [n, length, 3, height, width] around zero
        for layer in self.layers:
            frames, mask = layer(frames, mask)
        grid = frames.flatten(3)  # [n, length, width, rows * columns]
        tokens = self.join(torch.cat([grid.mean(dim=3), grid.amax(dim=3)], dim=2))  # [n, length, width]
        encoding: Encoding = self.pooling(tokens, mask)
        return encoding
