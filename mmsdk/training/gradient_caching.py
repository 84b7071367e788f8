"""Gradient caching: a batch as large as the loss wants, in an encoder that only ever sees a part of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from mmsdk.containers import Encoding, Inputs
from mmsdk.pipeline.pipeline import Pipeline


@contextmanager
def gradient_caching(pipeline: Pipeline, size: int | None) -> Iterator[None]:
    """Encoders take `size` values at a time, keep nothing of them but what they give, and run again on the way back.

    Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup", 2021 (GradCache). Fusion,
    heads and losses see the whole batch: what they compute, and all gradients, are those of the whole batch, but for
    dropout, which draws part by part, the same both times. Encoders run twice forward instead of once: about a third
    more time.
    """
    if size is None:
        yield
        return
    encoders = {id(encoder): encoder for encoder in pipeline.encoders.values()}  # streams may share one
    for encoder in encoders.values():  # on the module itself, so that names of parameters stay as they are
        encoder.forward = partial(_in_parts, encoder.forward, size)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for encoder in encoders.values():
            del encoder.forward


def _in_parts(encode: Callable[[Inputs], Encoding], size: int, inputs: Inputs) -> Encoding:
    count = len(next(iter(inputs.values())))
    if count <= size or not torch.is_grad_enabled():
        return encode(inputs)
    parts = [{key: part[start : start + size] for key, part in inputs.items()} for start in range(0, count, size)]
    found = [Encoding(*checkpoint(encode, part, use_reentrant=False)) for part in parts]
    longest = max(each.mask.shape[1] for each in found)
    return Encoding(
        torch.cat([F.pad(each.tokens, (0, 0, 0, longest - each.tokens.shape[1])) for each in found]),
        torch.cat([F.pad(each.mask, (0, longest - each.mask.shape[1])) for each in found]),
        torch.cat([each.pooled for each in found]),
    )
