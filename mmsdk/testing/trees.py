"""Tensors inside mappings and tuples: walked, changed, compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor


def tensors(tree: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Each tensor with its path, such as ("image.tokens", ...)."""
    if isinstance(tree, Tensor):
        yield name, tree
    elif isinstance(tree, Mapping | tuple | list):
        for key, part in _parts(tree):
            yield from tensors(part, f"{name}.{key}" if name else key)


def _parts(tree: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(tree, Mapping):
        yield from ((str(key), part) for key, part in tree.items())
    else:
        yield from zip(getattr(tree, "_fields", map(str, range(len(tree)))), tree, strict=True)


def changed(tree: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """A copy of the tree in which each tensor is what `change` makes of it."""
    if isinstance(tree, Tensor):
        return change(tree)
    if isinstance(tree, Mapping):
        return {key: changed(part, change) for key, part in tree.items()}
    if isinstance(tree, tuple):
        parts: list[Any] = [changed(part, change) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
    return tree


def rows(tree: Any, start: int, stop: int) -> Any:
    """These rows of every tensor."""
    return changed(tree, lambda tensor: tensor[start:stop])


def difference(found: Any, expected: Any, tolerance: float = 0.0) -> str | None:
    """Where two trees of tensors differ, and by how much; None where they do not. NaN equals NaN.

    tolerance: 0 compares bit for bit; otherwise absolutely and relatively to the expected values.
    """
    first, second = dict(tensors(found)), dict(tensors(expected))
    if first.keys() != second.keys():
        return f"{sorted(first)} instead of {sorted(second)}"
    for name, tensor in first.items():
        wanted = second[name]
        if tensor.shape != wanted.shape:
            return f"{name} has the shape {list(tensor.shape)} instead of {list(wanted.shape)}"
        one, other = tensor.detach().double(), wanted.detach().double()
        if not torch.allclose(one, other, rtol=tolerance, atol=tolerance, equal_nan=True):
            return f"{name} differs by up to {(one - other).abs().max().item():.3g}"
    return None


def shown(outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Outputs of a network by name, without what depends on the amount of padding: of tokens those in the mask."""
    masks = {name: part for name, part in outputs.items() if name.rpartition(".")[2] == "mask"}
    found = {name: part for name, part in outputs.items() if name not in masks}
    for name, mask in masks.items():
        tokens = name.removesuffix("mask") + "tokens"
        found[tokens] = outputs[tokens][mask.bool()]
    return found


def not_finite(tree: Any) -> list[str]:
    """The names of the tensors with NaN or infinity in them."""
    return [name for name, tensor in tensors(tree) if not tensor.isfinite().all()]
