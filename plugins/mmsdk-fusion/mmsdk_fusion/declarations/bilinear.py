"""Bilinear forms of vectors and their decompositions. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from mmsdk import Dropout, FusionConfig, Source
from mmsdk_fusion.declarations.common import (
    Absence,
    Positive,
    SeveralVectors,
    linear,
    of_tokens,
    of_vectors,
    pooled,
    refuse,
)

if TYPE_CHECKING:
    from mmsdk_fusion.ban import BilinearAttention
    from mmsdk_fusion.mcb import CompactBilinear
    from mmsdk_fusion.mfb import FactorizedBilinear
    from mmsdk_fusion.mlb import LowRankBilinear
    from mmsdk_fusion.multiplicative_interaction import MultiplicativeInteraction
    from mmsdk_fusion.mutan import Tucker


class MultiplicativeInteractionConfig(SeveralVectors):
    """Bilinear forms of each two streams in full, beside a linear layer (Jayakumar et al. 2020)."""

    type: Literal["fusion.multiplicative_interaction"] = "fusion.multiplicative_interaction"
    width: Positive = Field(64, description="of the fused vector; each number is a matrix per pair of streams")

    def parameters(self, sources: Mapping[str, Source]) -> int:
        forms = sum(one * other for one, other in combinations(pooled(sources), 2))
        return linear(sum(pooled(sources)) + forms, self.width)

    def build(self, sources: Mapping[str, Source]) -> MultiplicativeInteraction:
        from mmsdk_fusion.multiplicative_interaction import MultiplicativeInteraction

        return MultiplicativeInteraction(sources, self.width, self.dropout)


class CompactBilinearConfig(SeveralVectors):
    """The outer product of all streams, hashed to a vector; nothing to learn (MCB)."""

    type: Literal["fusion.mcb"] = "fusion.mcb"
    width: Positive = Field(1024, description="of the hashed outer product, which is the fused vector")

    def parameters(self, sources: Mapping[str, Source]) -> int:
        return 0

    def build(self, sources: Mapping[str, Source]) -> CompactBilinear:
        from mmsdk_fusion.mcb import CompactBilinear

        return CompactBilinear(sources, self.width, self.dropout)


class LowRankBilinearConfig(SeveralVectors):
    """Projects the streams, multiplies them feature by feature, and projects the product (MLB)."""

    type: Literal["fusion.mlb"] = "fusion.mlb"
    rank: Positive = Field(256, description="numbers in the product")
    activation: Literal["tanh", "none"] = Field("tanh", description="of the factors")

    def parameters(self, sources: Mapping[str, Source]) -> int:
        return of_vectors(sources, self.rank) + linear(self.rank, self.width)

    def build(self, sources: Mapping[str, Source]) -> LowRankBilinear:
        from mmsdk_fusion.mlb import LowRankBilinear

        return LowRankBilinear(sources, self.width, self.rank, self.activation == "tanh", self.dropout)


class TuckerConfig(SeveralVectors):
    """A bilinear form as a Tucker decomposition whose core has a low rank (MUTAN)."""

    type: Literal["fusion.mutan"] = "fusion.mutan"
    hidden: Positive = Field(128, description="of each stream before the core")
    rank: Positive = Field(5, description="products that are summed to each number")

    def parameters(self, sources: Mapping[str, Source]) -> int:
        return of_vectors(sources, self.hidden) + len(sources) * linear(self.hidden, self.rank * self.width)

    def build(self, sources: Mapping[str, Source]) -> Tucker:
        from mmsdk_fusion.mutan import Tucker

        return Tucker(sources, self.width, self.hidden, self.rank, self.dropout)


class FactorizedBilinearConfig(SeveralVectors):
    """Products of projections, summed in small groups, with square root and norm (MFB; with more orders MFH)."""

    type: Literal["fusion.mfb"] = "fusion.mfb"
    width: Positive = Field(128, description="of each order; the fused vector has all of them")
    pool: Positive = Field(5, description="products that are summed to each number")
    orders: Positive = Field(1, description="blocks in a cascade: above 1 it is MFH")

    def parameters(self, sources: Mapping[str, Source]) -> int:
        return self.orders * of_vectors(sources, self.width * self.pool)

    def build(self, sources: Mapping[str, Source]) -> FactorizedBilinear:
        from mmsdk_fusion.mfb import FactorizedBilinear

        return FactorizedBilinear(sources, self.width, self.pool, self.orders, self.dropout)


class BilinearAttentionConfig(FusionConfig):
    """Weighs each pair of tokens of two streams, and sums up their products (BAN)."""

    type: Literal["fusion.ban"] = "fusion.ban"
    absence: ClassVar[Absence] = "imputed"

    width: Positive = Field(128, description="of tokens and of the fused vector")
    glimpses: Positive = Field(2, description="attention maps, one after the other")
    dropout: Dropout = 0.0

    def check(self, streams: list[str]) -> str | None:
        if len(streams) == 2:
            return None
        instead = " For more use 'fusion.coattention' or 'fusion.mult'." if len(streams) > 2 else ""
        return f"Fusion 'fusion.ban' weighs pairs of tokens of two streams, found {len(streams)}.{instead}"

    def parameters(self, sources: Mapping[str, Source]) -> int:
        outside = of_tokens(sources, self.width) + 2 * (linear(self.width, self.width) + self.width)
        return outside + self.glimpses * (3 * linear(self.width, self.width) + self.width)

    def build(self, sources: Mapping[str, Source]) -> BilinearAttention:
        from mmsdk_fusion.ban import BilinearAttention

        refuse(self.check(list(sources)))
        return BilinearAttention(sources, self.width, self.glimpses, self.dropout)
