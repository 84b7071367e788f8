"""What strategies share that keep the steps of sequences apart: streams of one length, and a result per step."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from mmsdk import Encoding


def aligned(encodings: Mapping[str, Encoding]) -> tuple[list[Tensor], Tensor]:
    """Tokens [batch, length, width] of each stream, zeros where nothing is, and masks [streams, batch, length] bool.

    Step i of one stream belongs to step i of every other; what is shorter is filled up.
    """
    length = max(encoding.mask.shape[1] for encoding in encodings.values())
    tokens, masks = [], []
    for encoding in encodings.values():
        missing = length - encoding.mask.shape[1]
        tokens.append(F.pad(encoding.tokens.masked_fill(~encoding.mask[..., None], 0), (0, 0, 0, missing)))
        masks.append(F.pad(encoding.mask, (0, missing)))
    return tokens, torch.stack(masks)


def of_steps(tokens: Tensor, mask: Tensor) -> Encoding:
    """tokens [batch, length, width], mask [batch, length] bool -> an encoding whose pooled vector is their mean."""
    tokens = tokens.masked_fill(~mask[..., None], 0)
    pooled = tokens.sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1)  # [batch, width]
    return Encoding(tokens, mask, pooled)
