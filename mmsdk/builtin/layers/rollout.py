"""How much each token counted in a network of attention: what its layers give is followed from the last to the first.

Abnar and Zuidema, "Quantifying Attention Flow in Transformers", 2020: a layer hands on half of what a token was and
half of what it attended to (the residual connection beside the attention), and the heads of a layer count alike. It
tells where a network looked, not what that was worth.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from mmsdk.builtin.layers.attention import Attention
from mmsdk.builtin.layers.pooling import masked_mean


@contextmanager
def recorded(*modules: nn.Module) -> Iterator[list[Tensor]]:
    """What each `Attention` in the modules gives to each token, [batch, q, k], in the order of their calls."""
    looks: list[Tensor] = []
    hooks = [
        part.register_forward_hook(lambda attention, given, _: looks.append(attention.shares(*given)))
        for module in modules
        for part in module.modules()
        if isinstance(part, Attention)
    ]
    try:
        yield looks
    finally:
        for hook in hooks:
            hook.remove()


def origins(masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each stream's tokens [batch, length_m], made of themselves alone: [batch, length_m, sum of lengths]."""
    lengths = [mask.shape[1] for mask in masks.values()]
    every = torch.split(torch.eye(sum(lengths), device=next(iter(masks.values())).device), lengths)
    return {name: own.expand(len(mask), -1, -1) for (name, mask), own in zip(masks.items(), every, strict=True)}


def passed_on(own: Tensor, look: Tensor, context: Tensor) -> Tensor:
    """What queries are made of after a look: half of what they were, half of what they saw.

    own: [batch, q, total]; look: [batch, q, k]; context: [batch, k, total]. Who sees nothing, stays as it is.
    """
    some = look.any(dim=2, keepdim=True)  # [batch, q, 1]
    return torch.where(some, (own + look @ context) / 2, own)


def mean_origin(made: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Tensor:
    """What the mean, over the present streams, of each one's mean token is made of: [batch, sum of lengths]."""
    means = torch.stack([masked_mean(made[name], mask) for name, mask in masks.items()], dim=1)
    return masked_mean(means, torch.stack([mask.any(dim=1) for mask in masks.values()], dim=1))


def by_stream(origin: Tensor, masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A vector's origin [batch, sum of lengths] as the share of each token, [batch, length_m] of each stream.

    The shares of a row add up to 1; those of a row without any token are zeros.
    """
    seen = torch.cat(list(masks.values()), dim=1)  # [batch, sum of lengths]
    kept = origin.float().masked_fill(~seen, 0)
    whole = kept / kept.sum(dim=1, keepdim=True).clamp(min=torch.finfo(kept.dtype).tiny)
    return dict(zip(masks, torch.split(whole, [mask.shape[1] for mask in masks.values()], dim=1), strict=True))
