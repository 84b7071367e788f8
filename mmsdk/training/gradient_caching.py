"""Gradient caching: a batch as large as the loss wants, in an encoder that only ever sees a part of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from mmsdk.containers import Encoding, Inputs
from mmsdk.pipeline.pipeline import Pipeline


@dataclass
class Parts:
    """How many values encoders take at a time, None for all at once; and the most that one was given so far."""

    size: int | None
    most: int = 0


@contextmanager
def gradient_caching(pipeline: Pipeline, parts: Parts) -> Iterator[None]:
    """Encoders take `parts.size` values at a time, keep nothing but what they give, and run again on the way back.

    Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup", 2021 (GradCache). Fusion,
    heads and losses see the whole batch: what they compute, and all gradients, are those of the whole batch, but for
    dropout, which draws part by part, the same both times. Encoders run twice forward instead of once: about a third
    more time. Where `parts.size` is None, encoders take all values, and keep what they computed.
    """
    encoders = {id(encoder): encoder for encoder in pipeline.encoders.values()}  # streams may share one
    for encoder in encoders.values():  # on the module itself, so that names of parameters stay as they are
        encoder.forward = partial(_in_parts, encoder.forward, parts)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for encoder in encoders.values():
            del encoder.forward


def _in_parts(encode: Callable[[Inputs], Encoding], parts: Parts, inputs: Inputs) -> Encoding:
    count = len(next(iter(inputs.values())))
    if not torch.is_grad_enabled():
        return encode(inputs)
    parts.most = max(parts.most, count)
    size = parts.size
    if size is None or count <= size:
        return encode(inputs)
    shares = [{key: part[start : start + size] for key, part in inputs.items()} for start in range(0, count, size)]
    found = [Encoding(*checkpoint(encode, share, use_reentrant=False)) for share in shares]
    longest = max(each.mask.shape[1] for each in found)
    return Encoding(
        torch.cat([F.pad(each.tokens, (0, 0, 0, longest - each.tokens.shape[1])) for each in found]),
        torch.cat([F.pad(each.mask, (0, longest - each.mask.shape[1])) for each in found]),
        torch.cat([each.pooled for each in found]),
    )
