"""Declarations of the fusions that multiply pooled vectors. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from mmsdk.builtin.declarations.fusion_basics import Absence, projections, refuse
from mmsdk.builtin.declarations.vector_fusions import VectorConfig
from mmsdk.fields import Positive
from mmsdk.formats import Source

if TYPE_CHECKING:
    from mmsdk.interfaces import FusionStrategy

PRODUCTS = 100_000
"""The most numbers that a sample's tensor may hold: each of them has a weight for every number of the fused vector."""


class ProductConfig(VectorConfig):
    """Projects each stream's pooled vector to one width and multiplies those of the present streams."""

    type: Literal["product"] = "product"
    absence: ClassVar[Absence] = "exact"

    def parameters(self, sources: Mapping[str, Source]) -> int:
        return projections(sources, self.width)

    def build(self, sources: Mapping[str, Source]) -> FusionStrategy:
        from mmsdk.builtin.fusions.product import Product

        return Product(sources, self.width, self.dropout)


class LowRankConfig(VectorConfig):
    """Multiplies all streams with one another through a tensor of low rank (LMF)."""

    type: Literal["low_rank"] = "low_rank"
    absence: ClassVar[Absence] = "exact"
    rank: Positive = Field(4, description="how many products are added up")

    def parameters(self, sources: Mapping[str, Source]) -> int:
        return projections(sources, self.rank * self.width) + self.rank

    def build(self, sources: Mapping[str, Source]) -> FusionStrategy:
        from mmsdk.builtin.fusions.low_rank import LowRank

        return LowRank(sources, self.width, self.rank, self.dropout)


class TensorConfig(VectorConfig):
    """Multiplies every number of each stream with every number of all others (tensor fusion, TFN).

    The products of all streams, and of any fewer of them, grow with (projection + 1) to the power of their number.
    """

    type: Literal["tensor"] = "tensor"
    absence: ClassVar[Absence] = "exact"
    projection: Positive = Field(16, description="numbers that each stream is projected to before they are multiplied")

    def check(self, streams: list[str]) -> str | None:
        count = len(streams)
        if self.products(count) <= PRODUCTS:
            return None
        fits = max((number for number in range(self.projection) if (number + 1) ** count <= PRODUCTS), default=0)
        smaller = f"give 'projection: {fits}', or " if fits else ""
        return (
            f"Fusion 'tensor' would make {self.products(count):,} products per sample for {count} streams with "
            f"'projection: {self.projection}', the limit is {PRODUCTS:,}: {smaller}use 'type: low_rank', which needs "
            "no such tensor."
        )

    def products(self, streams: int) -> int:
        """How many numbers a sample's tensor of so many streams holds."""
        return int((self.projection + 1) ** streams)

    def parameters(self, sources: Mapping[str, Source]) -> int:
        return projections(sources, self.projection) + self.products(len(sources)) * self.width

    def build(self, sources: Mapping[str, Source]) -> FusionStrategy:
        from mmsdk.builtin.fusions.tensor import TensorFusion

        refuse(self.check(list(sources)))
        return TensorFusion(sources, self.width, self.projection, self.dropout)
