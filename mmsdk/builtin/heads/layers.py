"""The layers between an encoding and the scores of a head."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn


def layers(width: int, hidden: Sequence[int], outputs: int, dropout: float) -> nn.Sequential:
    """[..., width] -> [..., outputs], with a ReLU after each hidden layer and dropout before each layer."""
    found: list[nn.Module] = []
    for before, after in pairwise([width, *hidden]):
        found += [nn.Dropout(dropout), nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*found, nn.Dropout(dropout), nn.Linear([width, *hidden][-1], outputs))
