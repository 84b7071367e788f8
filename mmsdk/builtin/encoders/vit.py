"""`vit`: patches of an image that attend to each other."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from mmsdk.builtin.layers.attention import TransformerBlock
from mmsdk.builtin.layers.positions import sinusoidal_grid
from mmsdk.containers import Encoding, Inputs
from mmsdk.errors import ConfigError
from mmsdk.formats import Format
from mmsdk.interfaces import Encoder


class VitEncoder(Encoder):
    """A vision transformer (Dosovitskiy et al., "An Image is Worth 16x16 Words", 2021), with fixed positions and the
    mean as pooled vector (Beyer et al., "Better plain ViT baselines for ImageNet-1k", 2022).

    Tokens [n, height / patch * width / patch, width], row by row; pooled [n, width].

    Raises:
        ConfigError: the image cannot be cut into whole patches.
    """

    def __init__(
        self,
        format: Format,
        width: int = 128,
        *,
        patch: int = 8,
        layers: int = 2,
        heads: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        _check(format, patch)
        self.width = self.pooled_width = width
        self.patches = nn.Conv2d(3, width, patch, stride=patch)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(TransformerBlock(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    @property
    def blocks(self) -> Sequence[nn.Module]:
        return list(self.layers)

    def forward(self, inputs: Inputs) -> Encoding:
        grid = self.patches(inputs["pixels"] * 2 - 1)  # [n, width, rows, columns], from pixels around zero
        tokens = grid.flatten(2).transpose(1, 2)  # [n, rows * columns, width]
        tokens = self.dropout(tokens + sinusoidal_grid(grid.shape[2], grid.shape[3], self.width, like=tokens))
        mask = tokens.new_ones(tokens.shape[:2], dtype=torch.bool)
        for layer in self.layers:
            tokens = layer(tokens, mask)
        tokens = self.norm(tokens)
        return Encoding(tokens, mask, tokens.mean(dim=1))


def _check(format: Format, patch: int) -> None:
    height, width = format.sizes
    if height % patch or width % patch:
        fitting = [side for side in range(1, min(height, width) + 1) if height % side == width % side == 0]
        raise ConfigError(
            f"Encoder 'vit' cannot cut an image of {height}x{width} pixels into patches of {patch}x{patch}: "
            f"choose 'patch' among {', '.join(map(str, fitting))}, or another image size."
        )
