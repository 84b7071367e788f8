"""Declarations of the fusions that weigh pooled vectors and add them up, or put them side by side. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from mmsdk.builtin.declarations.fusion_basics import Absence, linear, pooled, projections
from mmsdk.components import FusionConfig
from mmsdk.fields import Dropout, Positive
from mmsdk.formats import Source

if TYPE_CHECKING:
    from mmsdk.interfaces import FusionStrategy


class VectorConfig(FusionConfig):
    """Base of strategies that read the pooled vectors alone and give one vector."""

    type: str  # here already, so that it stays the first field of every subclass
    width: Positive = Field(128, description="of the fused vector")
    dropout: Dropout = 0.0


class ConcatConfig(VectorConfig):
    """Concatenates the pooled vectors and projects them; a learned vector stands in for an absent one."""

    type: Literal["concat"] = "concat"
    absence: ClassVar[Absence] = "imputed"

    def parameters(self, sources: Mapping[str, Source]) -> int:
        total = sum(pooled(sources))
        return linear(total, self.width) + total

    def build(self, sources: Mapping[str, Source]) -> FusionStrategy:
        from mmsdk.builtin.fusions.concat import Concat

        return Concat(sources, self.width, self.dropout)


class MeanConfig(VectorConfig):
    """Projects each stream's pooled vector to one width and takes the mean over the present streams."""

    type: Literal["mean"] = "mean"
    absence: ClassVar[Absence] = "exact"

    def parameters(self, sources: Mapping[str, Source]) -> int:
        return projections(sources, self.width)

    def build(self, sources: Mapping[str, Source]) -> FusionStrategy:
        from mmsdk.builtin.fusions.mean import Mean

        return Mean(sources, self.width, self.dropout)


class MaxConfig(VectorConfig):
    """Projects each stream's pooled vector to one width and takes the largest number per feature."""

    type: Literal["max"] = "max"
    absence: ClassVar[Absence] = "exact"

    def parameters(self, sources: Mapping[str, Source]) -> int:
        return projections(sources, self.width)

    def build(self, sources: Mapping[str, Source]) -> FusionStrategy:
        from mmsdk.builtin.fusions.max import Max

        return Max(sources, self.width, self.dropout)


class WeightedSumConfig(VectorConfig):
    """Adds the projected streams up with learned shares, which the present streams divide among themselves."""

    type: Literal["weighted_sum"] = "weighted_sum"
    absence: ClassVar[Absence] = "exact"
    shares: Literal["scalar", "per_feature"] = Field(
        "scalar", description="scalar: one share per stream; per_feature: one for each number of the vector"
    )

    def parameters(self, sources: Mapping[str, Source]) -> int:
        shares = self.width if self.shares == "per_feature" else 1
        return projections(sources, self.width) + len(sources) * shares

    def build(self, sources: Mapping[str, Source]) -> FusionStrategy:
        from mmsdk.builtin.fusions.weighted_sum import WeightedSum

        return WeightedSum(sources, self.width, self.shares == "per_feature", self.dropout)


class GatedConfig(VectorConfig):
    """Adds the streams up, each through a gate that depends on all of them."""

    type: Literal["gated"] = "gated"
    absence: ClassVar[Absence] = "exact"

    def parameters(self, sources: Mapping[str, Source]) -> int:
        values = projections(sources, self.width)
        return values + linear(sum(pooled(sources)), len(sources) * self.width)

    def build(self, sources: Mapping[str, Source]) -> FusionStrategy:
        from mmsdk.builtin.fusions.gated import Gated

        return Gated(sources, self.width, self.dropout)


class AttentionPoolConfig(VectorConfig):
    """Adds the projected streams up with shares that depend on what each of them holds."""

    type: Literal["attention_pool"] = "attention_pool"
    absence: ClassVar[Absence] = "exact"

    def parameters(self, sources: Mapping[str, Source]) -> int:
        return projections(sources, self.width) + linear(self.width, self.width) + self.width

    def build(self, sources: Mapping[str, Source]) -> FusionStrategy:
        from mmsdk.builtin.fusions.attention_pool import AttentionPool

        return AttentionPool(sources, self.width, self.dropout)
