"""Pipelines of mmsdk behind HTTP: `application(pipelines)` is the ASGI application that `mmsdk serve` runs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmsdk_serve.application import application
    from mmsdk_serve.batching import Batcher
    from mmsdk_serve.limits import Limits

_HOME = {"Batcher": "batching", "Limits": "limits", "application": "application"}
__all__ = ["Batcher", "Limits", "application"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'mmsdk_serve' has no attribute '{name}'")
    value = getattr(import_module(f"mmsdk_serve.{_HOME[name]}"), name)
    globals()[name] = value
    return value
