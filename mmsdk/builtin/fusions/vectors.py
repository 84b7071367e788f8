"""What the fusions share: who is present, clean pooled vectors, and the forms of a result."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mmsdk.builtin.layers.pooling import clean
from mmsdk.containers import Encoding, Fused


def presence(encodings: Mapping[str, Encoding]) -> Tensor:
    """Which streams each row has: [batch, streams] bool, in the order of the mapping."""
    return torch.stack([encoding.present for encoding in encodings.values()], dim=1)


def masks_of(encodings: Mapping[str, Encoding]) -> dict[str, Tensor]:
    """Which tokens of each stream are there: [batch, length_m] bool."""
    return {name: encoding.mask for name, encoding in encodings.items()}


def vectors(encodings: Mapping[str, Encoding]) -> dict[str, Tensor]:
    """Each stream's pooled vectors [batch, pooled_width]; zeros where absent, whatever stands there."""
    return {name: encoding.pooled.masked_fill(~encoding.present[:, None], 0) for name, encoding in encodings.items()}


def shares(scores: Tensor, present: Tensor) -> Tensor:
    """softmax of scores [batch, streams, ...] over the streams that are present [batch, streams] bool, in float32.

    Zeros for absent streams, and for all of them in a row without any.
    """
    absent = ~present[..., None]
    divided = scores.float().masked_fill(absent, torch.finfo(torch.float32).min).softmax(dim=1)
    return divided.masked_fill(absent, 0)


def one_vector(vector: Tensor, present: Tensor, weights: Tensor | None = None) -> Fused:
    """vector [batch, width] and present [batch, streams] as a `Fused` of one token per row.

    A row without any stream is absent, and its vector zeros.
    """
    mask = present.any(dim=1, keepdim=True)  # [batch, 1]
    return Fused(clean(vector[:, None], mask, vector), weights=weights)


def vector_and_tokens(vector: Tensor, tokens: Tensor, mask: Tensor, present: Tensor) -> Encoding:
    """vector [batch, width] as the pooled one and as the first token, before tokens [batch, length, width].

    `present` [batch] bool tells which rows have a vector at all.
    """
    whole = torch.cat([vector[:, None], tokens], dim=1)  # [batch, 1 + length, width]
    return clean(whole, torch.cat([present[:, None], mask], dim=1), vector)
