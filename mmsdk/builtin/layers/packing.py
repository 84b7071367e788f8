"""The tokens of a padded batch as one row without any padding.

Layers over single tokens compute only what counts. Attention takes rows of one length together, which need no mask.
After Krell et al., "Efficient Sequence Packing without Cross-contamination", 2021; here each batch stays what it is.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mmsdk.containers import Inputs

GROUP = 1024
"""What a group of its own costs a layer, as padding tokens times width: measured, forward and backward, on one core."""


class Packing(NamedTuple):
    """Where the tokens of a padded batch stand once they are packed: rows of one length next to each other.

    places: [total] int64, of each token in the batch, read row by row. shape: of the batch, (n, length).
    groups: (rows, length) of those of one length, shorter ones first; rows x length add up to `total`.
    """

    places: Tensor
    shape: tuple[int, int]
    groups: list[tuple[int, int]]

    @property
    def columns(self) -> Tensor:
        """[total], where each token stands in its row."""
        return self.places % self.shape[1]

    def pack(self, inputs: Inputs) -> Inputs:
        """Inputs [n, length, ...] -> [1, total, ...], a mask without any False among them."""
        return {name: part.flatten(0, 1)[self.places][None] for name, part in inputs.items()}

    def unpack(self, tokens: Tensor) -> Tensor:
        """[1, total, width] -> [n, length, width], zeros in the padding."""
        n, length = self.shape
        padded = tokens.new_zeros(n * length, tokens.shape[2])
        return padded.index_copy(0, self.places, tokens[0]).view(n, length, -1)

    def split(self, tokens: Tensor) -> list[Tensor]:
        """[1, total, width] -> per group [rows, length, width]."""
        parts = tokens[0].split_with_sizes([rows * length for rows, length in self.groups])
        return [part.view(*group, -1) for part, group in zip(parts, self.groups, strict=True)]


def packing(mask: Tensor, width: int) -> Packing | None:
    """How to pack a batch, mask [n, length] bool, for layers of this width; None where packing spares no time.

    On a processor only: elsewhere each look at the lengths would have to wait for the device. A graph that is to be
    exported or compiled has no groups, as they are others in each batch.
    """
    if mask.device.type != "cpu" or torch.compiler.is_compiling():
        return None
    lengths = mask.sum(dim=1)  # [n]
    groups = [(rows, length) for length, rows in enumerate(lengths.bincount().tolist()) if rows and length]
    padding = mask.numel() - int(lengths.sum())
    if not groups or padding * width < GROUP * len(groups):
        return None
    order = lengths.argsort(stable=True)  # [n]
    every = order[:, None] * mask.shape[1] + torch.arange(mask.shape[1])  # [n, length]
    return Packing(every[mask[order]], (mask.shape[0], mask.shape[1]), groups)
