"""Strategies with gates, experts, and losses of their own. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from mmsdk import Dropout, FusionConfig, Source
from mmsdk_fusion.declarations.attention import even_heads
from mmsdk_fusion.declarations.common import (
    Absence,
    OfVectors,
    Positive,
    SeveralVectors,
    Strength,
    attention_block,
    linear,
    of_vectors,
    pooled,
    refuse,
    several,
)
from mmsdk_fusion.declarations.main import main_stream, without_main

if TYPE_CHECKING:
    from mmsdk_fusion.mag import AdaptationGate
    from mmsdk_fusion.misa import SharedAndPrivate
    from mmsdk_fusion.mixture_of_experts import MixtureOfExperts
    from mmsdk_fusion.product_of_experts import ProductOfExperts


class AdaptationGateConfig(FusionConfig):
    """Shifts one stream's vector by what the others say, by no more than its own length (MAG)."""

    type: Literal["fusion.mag"] = "fusion.mag"
    absence: ClassVar[Absence] = "independent"
    main: str | None = Field(None, description="the stream that is shifted; by default the first")
    beta: float = Field(1.0, gt=0, description="how long the shift may be, as a share of the main vector's length")
    dropout: Dropout = 0.0

    def check(self, streams: list[str]) -> str | None:
        return several("fusion.mag", streams) or without_main("fusion.mag", self.main, streams)

    def parameters(self, sources: Mapping[str, Source]) -> int:
        main = main_stream(self.main, sources)
        width = sources[main].pooled_width
        others = [source.pooled_width for name, source in sources.items() if name != main]
        return sum(linear(width + other, width) + other * width for other in others) + 3 * width

    def build(self, sources: Mapping[str, Source]) -> AdaptationGate:
        from mmsdk_fusion.mag import AdaptationGate

        refuse(self.check(list(sources)))
        return AdaptationGate(sources, main_stream(self.main, sources), self.beta, self.dropout)


class MixtureOfExpertsConfig(OfVectors):
    """Asks a few of several networks, as a gate decides for each row (sparse mixture of experts)."""

    type: Literal["fusion.mixture_of_experts"] = "fusion.mixture_of_experts"
    experts: Positive = Field(4, description="networks among which a gate chooses")
    active: Positive = Field(2, description="experts that count for a row; fewer than there are")
    balance: Strength = Field(0.1, description="weight of the loss that has all experts asked alike")

    @model_validator(mode="after")
    def _fewer_than_all(self) -> MixtureOfExpertsConfig:
        if self.active >= self.experts:
            message = "{active} active of {experts} experts leave no choice: give fewer 'active' or more 'experts'"
            raise PydanticCustomError("config", message, {"active": self.active, "experts": self.experts})
        return self

    def parameters(self, sources: Mapping[str, Source]) -> int:
        total = sum(pooled(sources))
        return self.experts * (2 * total + linear(total, self.width) + linear(self.width, self.width))

    def build(self, sources: Mapping[str, Source]) -> MixtureOfExperts:
        from mmsdk_fusion.mixture_of_experts import MixtureOfExperts

        return MixtureOfExperts(sources, self.width, self.experts, self.active, self.balance, self.dropout)


class SharedAndPrivateConfig(SeveralVectors):
    """Tells what the streams share from what each has for itself, with three losses (MISA)."""

    type: Literal["fusion.misa"] = "fusion.misa"
    heads: Positive = Field(2, description="attention heads; they share the width evenly")
    similarity: Strength = Field(1.0, description="weight of the loss that makes shared parts alike")
    difference: Strength = Field(0.3, description="weight of the loss that keeps private parts apart")
    reconstruction: Strength = Field(1.0, description="weight of the loss that has both parts tell the whole")
    dropout: Dropout = 0.1

    @model_validator(mode="after")
    def _even_heads(self) -> SharedAndPrivateConfig:
        even_heads(self.width, self.heads)
        return self

    def parameters(self, sources: Mapping[str, Source]) -> int:
        number, width = len(sources), self.width
        square = linear(width, width)
        parts = (2 + number) * square + number * 2 * width + attention_block(width, norms=2, feedforward=width)
        return of_vectors(sources, width) + parts + linear(2 * number * width, width)

    def build(self, sources: Mapping[str, Source]) -> SharedAndPrivate:
        from mmsdk_fusion.misa import SharedAndPrivate

        strengths = self.similarity, self.difference, self.reconstruction
        return SharedAndPrivate(sources, self.width, self.heads, *strengths, self.dropout)


class ProductOfExpertsConfig(OfVectors):
    """Each stream says what the fused vector is and how sure it is; the surer one counts more."""

    type: Literal["fusion.product_of_experts"] = "fusion.product_of_experts"
    divergence: Strength = Field(1e-3, description="weight of the loss that keeps the fused vector near the prior")

    def parameters(self, sources: Mapping[str, Source]) -> int:
        return of_vectors(sources, self.width) + len(sources) * linear(self.width, 2 * self.width)

    def build(self, sources: Mapping[str, Source]) -> ProductOfExperts:
        from mmsdk_fusion.product_of_experts import ProductOfExperts

        return ProductOfExperts(sources, self.width, self.divergence, self.dropout)
