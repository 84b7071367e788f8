"""The hook. No torch here."""

from __future__ import annotations

from mmsdk import HeadConfig, hookimpl
from mmsdk_diffusion.declarations import ImageConfig


@hookimpl
def mmsdk_heads() -> list[type[HeadConfig]]:
    return [ImageConfig]
