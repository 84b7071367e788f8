"""The weights of a fusion, as a fusion without one of its streams needs them."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from mmsdk.formats import Source


def carried(
    state: Mapping[str, Tensor], fewer: Mapping[str, Tensor], sources: Mapping[str, Source], absent: str
) -> dict[str, Tensor] | None:
    """`state` cut down to the names and shapes of `fewer`, a fusion of the same streams without `absent`.

    A stream owns the entries with its name, its place in a list of one entry per stream, and in every dimension its
    rows: one of as many as there are streams, its block of equal blocks, or its share of all widths side by side.
    None where that does not give all of `fewer`.
    """
    place = list(sources).index(absent)
    renamed = _renamed(state, fewer, place, len(sources), absent)
    found = {}
    for name, wanted in fewer.items():
        tensor: Tensor | None = renamed.get(name)
        if tensor is None or tensor.dim() != wanted.dim():
            return None
        for dimension, size in enumerate(wanted.shape):
            if tensor is not None and tensor.shape[dimension] != size:
                tensor = _cut(tensor, dimension, size, sources, absent)
        if tensor is None or tensor.shape != wanted.shape:
            return None
        found[name] = tensor
    return found


def _renamed(
    state: Mapping[str, Tensor], fewer: Mapping[str, Tensor], place: int, streams: int, absent: str
) -> dict[str, Tensor]:
    """Without the entries of the absent stream; lists of one entry per stream close up."""
    lists = _lengths(state)
    listed = {prefix for prefix, length in _lengths(fewer).items() if lists.get(prefix) == streams == length + 1}
    found = {}
    for name, tensor in state.items():
        parts = name.split(".")
        for depth, part in enumerate(parts):
            if part.isdigit() and ".".join(parts[:depth]) in listed:
                parts[depth] = absent if int(part) == place else str(int(part) - (int(part) > place))
        if absent not in parts:
            found[".".join(parts)] = tensor
    return found


def _lengths(state: Mapping[str, Tensor]) -> dict[str, int]:
    """How many numbered entries each list has, by the path of the list."""
    entries: dict[str, set[str]] = {}
    for name in state:
        for match in re.finditer(r"(?:^|(?<=\.))(\d+)(?=\.|$)", name):
            entries.setdefault(name[: max(match.start() - 1, 0)], set()).add(match[1])
    return {prefix: len(numbers) for prefix, numbers in entries.items()}


def _cut(tensor: Tensor, dimension: int, size: int, sources: Mapping[str, Source], absent: str) -> Tensor | None:
    """Without what belongs to the absent stream in one dimension."""
    place, whole = list(sources).index(absent), tensor.shape[dimension]
    for widths in (
        [source.pooled_width for source in sources.values()],
        [source.width for source in sources.values()],
        [whole // len(sources)] * len(sources),
    ):
        start, end = sum(widths[:place]), sum(widths[: place + 1])
        if sum(widths) == whole and whole - (end - start) == size:
            kept = torch.cat([torch.arange(start), torch.arange(end, whole)])
            return tensor.index_select(dimension, kept)
    return None
