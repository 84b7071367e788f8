"""Pictures from text, labels, or any other stream, for mmsdk: `from mmsdk_diffusion import generate`.

Imported when first used: help needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmsdk_diffusion.generation import Generated, generate, write_grid, write_pictures
    from mmsdk_diffusion.sampling import Sampling

_HOME = {
    "Generated": "generation",
    "Sampling": "sampling",
    "generate": "generation",
    "write_grid": "generation",
    "write_pictures": "generation",
}
__all__ = ["Generated", "Sampling", "generate", "write_grid", "write_pictures"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'mmsdk_diffusion' has no attribute '{name}'")
    value = getattr(import_module(f"mmsdk_diffusion.{_HOME[name]}"), name)
    globals()[name] = value
    return value
