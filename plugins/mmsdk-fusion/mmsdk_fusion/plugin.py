"""Declarations and hooks. No torch here: `build` imports it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from mmsdk import FusionConfig, Source, hookimpl

if TYPE_CHECKING:
    from mmsdk_fusion.compare import Compare


class CompareConfig(FusionConfig):
    """Compares two streams: [u; v; |u - v|; u * v], for matching and entailment."""

    type: Literal["fusion.compare"] = "fusion.compare"
    width: int = 128

    def check(self, streams: list[str]) -> str | None:
        return None if len(streams) == 2 else f"Fusion 'fusion.compare' compares two streams, found {len(streams)}."

    def parameters(self, sources: Mapping[str, Source]) -> int | None:
        projections = sum((source.pooled_width + 1) * self.width for source in sources.values())
        return projections + (4 * self.width + 1) * self.width

    def build(self, sources: Mapping[str, Source]) -> Compare:
        from mmsdk_fusion.compare import Compare

        return Compare(sources, self.width)


@hookimpl
def mmsdk_fusions() -> list[type[FusionConfig]]:
    return [CompareConfig]
