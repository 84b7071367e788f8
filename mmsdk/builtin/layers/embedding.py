"""The first layer: one module for each way in, so that one encoder reads several kinds of inputs."""

from __future__ import annotations

from itertools import accumulate

import torch
from torch import Tensor, nn

from mmsdk.containers import Inputs
from mmsdk.formats import Format


class Tokens(nn.Module):
    """Embeds inputs of the kinds `tokens` (one vector per id) and `sequence` (one linear layer over each step)."""

    def __init__(self, format: Format, width: int) -> None:
        super().__init__()
        self.key = "ids" if format.kind == "tokens" else "values"
        self.embed: nn.Module
        if format.kind == "tokens":
            self.embed = nn.Embedding(format.vocabulary, width, padding_idx=0)
        else:
            self.embed = nn.Linear(format.width, width)

    def forward(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Inputs with "mask" -> [batch, length, width] with zeros in the padding, mask [batch, length] bool."""
        mask = inputs["mask"]
        embedded: Tensor = self.embed(inputs[self.key])  # [batch, length, width]
        return embedded.masked_fill(~mask[..., None], 0), mask


class Row(nn.Module):
    """Embeds inputs of the kind `table`: the same as one linear layer over the numbers and one-hot categories."""

    offsets: Tensor

    def __init__(self, format: Format, width: int) -> None:
        super().__init__()
        self.numbers = nn.Linear(format.width, width) if format.width else None
        # All categories of all columns share one matrix: those of a column begin at its offset.
        self.categories = nn.Embedding(sum(format.sizes), width) if format.sizes else None
        if self.categories is not None:  # so that many columns together weigh about as much as one
            nn.init.normal_(self.categories.weight, std=len(format.sizes) ** -0.5)
        offsets = list(accumulate(format.sizes, initial=0))[:-1]
        self.register_buffer("offsets", torch.tensor(offsets, dtype=torch.long), persistent=False)

    def forward(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Inputs with "numbers" and "categories" -> [batch, 1, width], mask [batch, 1] bool, all True."""
        parts = []
        if self.numbers is not None:
            parts.append(self.numbers(inputs["numbers"]))  # [batch, width]
        if self.categories is not None:
            parts.append(self.categories(inputs["categories"] + self.offsets).sum(dim=1))
        embedded = torch.stack(parts).sum(dim=0)[:, None]
        return embedded, embedded.new_ones(embedded.shape[:2], dtype=torch.bool)
