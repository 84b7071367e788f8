"""Search by meaning for mmsdk: `from mmsdk_retrieval import Index`. Imported when first used: help needs no torch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmsdk_retrieval.classification import Classified, ZeroShot, zero_shot
    from mmsdk_retrieval.gallery import write_gallery
    from mmsdk_retrieval.index import Hit, Index
    from mmsdk_retrieval.joining import reciprocal_rank_fusion

_HOME = {
    "Classified": "classification",
    "Hit": "index",
    "Index": "index",
    "ZeroShot": "classification",
    "write_gallery": "gallery",
    "reciprocal_rank_fusion": "joining",
    "zero_shot": "classification",
}
__all__ = ["Classified", "Hit", "Index", "ZeroShot", "reciprocal_rank_fusion", "write_gallery", "zero_shot"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'mmsdk_retrieval' has no attribute '{name}'")
    value = getattr(import_module(f"mmsdk_retrieval.{_HOME[name]}"), name)
    globals()[name] = value
    return value
