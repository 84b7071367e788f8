"""A running average of weights."""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

import torch
from torch import nn

N = TypeVar("N", bound=nn.Module)


class Average(nn.Module, Generic[N]):
    """The exponential moving average of a network's weights, as a network that is used in its place.

    It makes better pictures than the last weights (Song and Ermon, "Improved Techniques for Training Score-Based
    Generative Models", 2020). All its weights are buffers: saved like parameters, and never trained. The first updates
    count more, so that it does not remember how the network was initialised.

    network: what is averaged. decay: the share of the old average that an update keeps, in 0..1.
    """

    def __init__(self, network: N, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.network: N = copy.deepcopy(network)
        for module in self.network.modules():
            for name, weights in [*module.named_parameters(recurse=False)]:
                delattr(module, name)
                module.register_buffer(name, weights.detach())
        self.register_buffer("updates", torch.zeros(1, dtype=torch.int64))

    @torch.no_grad()
    def update(self, network: N) -> None:
        """Take in the weights that the network has now."""
        updates = self.get_buffer("updates")
        share = 1 - ((1 + updates) / (10 + updates)).clamp(max=self.decay)  # [1]
        updates += 1
        own = dict(self.network.named_buffers())
        for name, weights in network.named_parameters():
            own[name].lerp_(weights, share)
