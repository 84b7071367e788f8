"""Strategies that combine, compare or weigh vectors. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from mmsdk import FusionConfig, Source
from mmsdk_fusion.declarations.common import (
    Absence,
    OfVectors,
    Positive,
    SeveralVectors,
    linear,
    of_tokens,
    of_vectors,
    pairs,
)

if TYPE_CHECKING:
    from mmsdk_fusion.attentional_feature_fusion import AttentionalFeatureFusion
    from mmsdk_fusion.compare import Compare
    from mmsdk_fusion.deepset import DeepSet
    from mmsdk_fusion.hierarchical import Hierarchical
    from mmsdk_fusion.mmtm import TransferModule


class CompareConfig(FusionConfig):
    """Compares two streams: [u; v; |u - v|; u * v], for matching and entailment."""

    type: Literal["fusion.compare"] = "fusion.compare"
    width: int = Field(128, description="of the fused vector")

    def check(self, streams: list[str]) -> str | None:
        return None if len(streams) == 2 else f"Fusion 'fusion.compare' compares two streams, found {len(streams)}."

    def parameters(self, sources: Mapping[str, Source]) -> int:
        return of_vectors(sources, self.width) + linear(4 * self.width, self.width)

    def build(self, sources: Mapping[str, Source]) -> Compare:
        from mmsdk_fusion.compare import Compare

        return Compare(sources, self.width)


class DeepSetConfig(OfVectors):
    """Pools what one network says of each stream, and reads the pool with another (Deep Sets)."""

    type: Literal["fusion.deepset"] = "fusion.deepset"
    pool: Literal["sum", "mean", "max"] = Field("sum", description="over the present streams")

    def parameters(self, sources: Mapping[str, Source]) -> int:
        return of_vectors(sources, self.width) + 4 * linear(self.width, self.width)

    def build(self, sources: Mapping[str, Source]) -> DeepSet:
        from mmsdk_fusion.deepset import DeepSet

        return DeepSet(sources, self.width, self.pool, self.dropout)


class HierarchicalConfig(SeveralVectors):
    """Joins the streams feature by feature, first in pairs, then all pairs (Majumder et al. 2018)."""

    type: Literal["fusion.hierarchical"] = "fusion.hierarchical"

    def parameters(self, sources: Mapping[str, Source]) -> int:
        return of_vectors(sources, self.width) + (4 * pairs(len(sources)) + 1) * self.width

    def build(self, sources: Mapping[str, Source]) -> Hierarchical:
        from mmsdk_fusion.hierarchical import Hierarchical

        return Hierarchical(sources, self.width, self.dropout)


class AttentionalFeatureFusionConfig(SeveralVectors):
    """Takes of each feature so much of one stream, and the rest of the other (AFF, iAFF)."""

    type: Literal["fusion.attentional_feature_fusion"] = "fusion.attentional_feature_fusion"
    reduction: Positive = Field(4, description="how much narrower the bottleneck is that decides")
    iterative: bool = Field(False, description="decide twice, the second time by what the first has given (iAFF)")

    def _hidden(self) -> int:
        return max(self.width // self.reduction, 1)

    def parameters(self, sources: Mapping[str, Source]) -> int:
        bottleneck = linear(self.width, self._hidden()) + linear(self._hidden(), self.width)
        return of_vectors(sources, self.width) + (len(sources) - 1) * (1 + self.iterative) * bottleneck

    def build(self, sources: Mapping[str, Source]) -> AttentionalFeatureFusion:
        from mmsdk_fusion.attentional_feature_fusion import AttentionalFeatureFusion

        return AttentionalFeatureFusion(sources, self.width, self._hidden(), self.iterative, self.dropout)


class TransferModuleConfig(SeveralVectors):
    """All streams together say which features of each stream's tokens count (MMTM)."""

    type: Literal["fusion.mmtm"] = "fusion.mmtm"
    absence: ClassVar[Absence] = "independent"
    contextual: ClassVar[bool] = True
    reduction: Positive = Field(4, description="how much narrower the joint vector is than all streams together")

    def _squeezed(self, streams: int) -> int:
        return max(streams * self.width // self.reduction, 1)

    def parameters(self, sources: Mapping[str, Source]) -> int:
        number, squeezed = len(sources), self._squeezed(len(sources))
        joint = linear(number * self.width, squeezed) + number * linear(squeezed, self.width)
        return of_tokens(sources, self.width) + joint

    def build(self, sources: Mapping[str, Source]) -> TransferModule:
        from mmsdk_fusion.mmtm import TransferModule

        return TransferModule(sources, self.width, self._squeezed(len(sources)), self.dropout)
