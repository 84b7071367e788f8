"""Hiding a part of a stream's inputs, and keeping what is hidden."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mmsdk.containers import Inputs

NUMBERS = {"sequence": "values", "spectrogram": "frames"}
"""The kinds whose steps are numbers, and the key of these."""


class Hidden(NamedTuple):
    """What a view adds to the inputs of a stream.

    hidden: [n, length] bool. truth: [n, length] ids, or [n, length, numbers].
    """

    hidden: Tensor
    truth: Tensor


def hide(
    inputs: Inputs, kind: str, share: float, patch: int, vocabulary: int, generator: torch.Generator | None
) -> dict[str, Tensor]:
    """The inputs with about this share of their steps hidden, and the keys of `Hidden`.

    Of hidden tokens 8 of 10 become the empty one, 0, one any other, and one stays (Devlin et al. 2019): what is to be
    predicted does not show by itself. Without a generator, what is hidden follows from the row's own content.
    """
    if kind == "pixels":
        truth = patches(inputs["pixels"], patch)  # [n, length, 3 * patch * patch]
        there = torch.ones(truth.shape[:2], dtype=torch.bool, device=truth.device)
        hidden = _hidden(there, share, _chances(truth, there, generator)[0])
        shown = torch.where(hidden[..., None], 0.5, truth)
        return {"pixels": unpatched(shown, inputs["pixels"], patch), **Hidden(hidden, truth)._asdict()}
    key = NUMBERS.get(kind, "ids")
    truth, there = inputs[key], inputs["mask"]
    which, how, what = _chances(truth, there, generator)
    hidden = _hidden(there, share, which)
    if kind in NUMBERS:
        return {**inputs, key: truth * ~hidden[..., None], **Hidden(hidden, truth)._asdict()}
    anything = 1 + (what * (vocabulary - 1)).long()
    instead = torch.where(how < 0.8, 0, torch.where(how < 0.9, anything, truth))
    return {**inputs, key: torch.where(hidden, instead, truth), **Hidden(hidden, truth)._asdict()}


def _chances(truth: Tensor, there: Tensor, generator: torch.Generator | None) -> Tensor:
    """Three numbers in 0..1 for each step, [3, n, length]."""
    n, length = there.shape
    if generator is not None:
        return torch.rand(3, n, length, generator=generator, device=there.device)
    # As good as random, and the same for a row in whatever batch it stands: evaluation has to be repeatable.
    content = (truth.reshape(n, length, -1).double().sum(dim=2) * there).sum(dim=1)[None, :, None]
    steps = torch.arange(length, device=there.device)
    draws = torch.arange(3, device=there.device)[:, None, None]
    return ((content + 78.233 * steps + 37.719 * draws).sin() * 43758.5453).frac().abs().float().clamp(max=0.9999)


def _hidden(there: Tensor, share: float, chance: Tensor) -> Tensor:
    """About `share` of the steps that are there, [n, length] bool, and at least one of each row that has any."""
    chance = chance.masked_fill(~there, 2)
    return there & ((chance < share) | (chance == chance.amin(dim=1, keepdim=True)))


def patches(pixels: Tensor, patch: int) -> Tensor:
    """[n, 3, h, w] -> [n, length, 3 * patch * patch], row by row; what does not fill a patch is left out."""
    n, channels, height, width = pixels.shape
    rows, columns = height // patch, width // patch
    cut = pixels[:, :, : rows * patch, : columns * patch].reshape(n, channels, rows, patch, columns, patch)
    return cut.permute(0, 2, 4, 1, 3, 5).reshape(n, rows * columns, channels * patch * patch)


def unpatched(values: Tensor, like: Tensor, patch: int) -> Tensor:
    """The pixels `like` [n, 3, h, w] with other patches [n, length, 3 * patch * patch]."""
    n, channels, height, width = like.shape
    rows, columns = height // patch, width // patch
    grid = values.reshape(n, rows, columns, channels, patch, patch).permute(0, 3, 1, 4, 2, 5)
    result = like.clone()
    result[:, :, : rows * patch, : columns * patch] = grid.reshape(n, channels, rows * patch, columns * patch)
    return result
