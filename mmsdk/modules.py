"""`Parts`: named modules, with any name."""

from __future__ import annotations

from collections.abc import ItemsView, Mapping, ValuesView
from typing import Generic, TypeVar, cast

from torch import nn

M = TypeVar("M", bound=nn.Module)


class Parts(nn.Module, Generic[M]):
    """Like `nn.ModuleDict`, which refuses names such as `type`, `values` or `train`: these may be streams."""

    def __init__(self, modules: Mapping[str, M]) -> None:
        super().__init__()
        self._modules.update(modules)

    def __getitem__(self, name: str) -> M:
        return cast(M, self._modules[name])

    def items(self) -> ItemsView[str, M]:
        return cast("ItemsView[str, M]", self._modules.items())

    def values(self) -> ValuesView[M]:
        return cast("ValuesView[M]", self._modules.values())
