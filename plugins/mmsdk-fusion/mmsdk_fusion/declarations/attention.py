"""Strategies in which tokens attend to tokens. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from mmsdk import Dropout, FusionConfig, Source
from mmsdk_fusion.declarations.common import (
    Absence,
    Positive,
    SeveralVectors,
    attention_block,
    linear,
    of_tokens,
    pairs,
    refuse,
    several,
)
from mmsdk_fusion.declarations.main import main_stream, without_main

if TYPE_CHECKING:
    from mmsdk_fusion.coattention import CoAttention
    from mmsdk_fusion.gated_cross_attention import GatedCrossAttention
    from mmsdk_fusion.mult import CrossmodalTransformer


class CoAttentionConfig(SeveralVectors):
    """Weighs the tokens of each stream by how they go with those of the others (parallel co-attention)."""

    type: Literal["fusion.coattention"] = "fusion.coattention"

    def parameters(self, sources: Mapping[str, Source]) -> int:
        number, width = len(sources), self.width
        square = width * width
        return of_tokens(sources, width) + (pairs(number) + number) * square + number * width + linear(width, width)

    def build(self, sources: Mapping[str, Source]) -> CoAttention:
        from mmsdk_fusion.coattention import CoAttention

        return CoAttention(sources, self.width, self.dropout)


class _Attentive(FusionConfig):
    """Base of strategies made of attention blocks."""

    type: str
    absence: ClassVar[Absence] = "exact"
    layers: Positive = Field(2, description="blocks of attention")
    width: Positive = Field(128, description="of tokens and of the fused vector")
    heads: Positive = Field(4, description="attention heads; they share the width evenly")
    dropout: Dropout = 0.1

    @model_validator(mode="after")
    def _even_heads(self) -> _Attentive:
        even_heads(self.width, self.heads)
        return self


class CrossmodalTransformerConfig(_Attentive):
    """A transformer for each ordered pair of streams, then one for each stream (MulT)."""

    type: Literal["fusion.mult"] = "fusion.mult"
    contextual: ClassVar[bool] = True

    def check(self, streams: list[str]) -> str | None:
        return several("fusion.mult", streams)

    def parameters(self, sources: Mapping[str, Source]) -> int:
        number, width = len(sources), self.width
        pair = self.layers * attention_block(width, norms=3) + 2 * width + width * width
        own = self.layers * attention_block(width, norms=2) + 2 * width
        return of_tokens(sources, width) + 2 * pairs(number) * pair + number * own + linear(number * width, width)

    def build(self, sources: Mapping[str, Source]) -> CrossmodalTransformer:
        from mmsdk_fusion.mult import CrossmodalTransformer

        refuse(self.check(list(sources)))
        return CrossmodalTransformer(sources, self.width, self.layers, self.heads, self.dropout)


class GatedCrossAttentionConfig(_Attentive):
    """One stream reads all others through gates that open in training (Flamingo)."""

    type: Literal["fusion.gated_cross_attention"] = "fusion.gated_cross_attention"
    absence: ClassVar[Absence] = "independent"
    main: str | None = Field(None, description="the stream that reads the others; by default the first")
    gate: float = Field(1e-3, description="where the gates begin; with 0, as in the paper, only they learn at first")

    def check(self, streams: list[str]) -> str | None:
        return several("fusion.gated_cross_attention", streams) or without_main(
            "fusion.gated_cross_attention", self.main, streams
        )

    def parameters(self, sources: Mapping[str, Source]) -> int:
        layer = attention_block(self.width, norms=3) + 2 + attention_block(self.width, norms=2)
        return of_tokens(sources, self.width) + (len(sources) + 3) * self.width + self.layers * layer

    def build(self, sources: Mapping[str, Source]) -> GatedCrossAttention:
        from mmsdk_fusion.gated_cross_attention import GatedCrossAttention

        refuse(self.check(list(sources)))
        main = main_stream(self.main, sources)
        return GatedCrossAttention(sources, main, self.width, self.layers, self.heads, self.gate, self.dropout)


def even_heads(width: int, heads: int) -> None:
    """Refuse heads that cannot share the width evenly, with the largest number that would do."""
    if width % heads:
        best = max(number for number in range(1, min(heads, width) + 1) if width % number == 0)
        message = "{heads} heads cannot share a width of {width} evenly: give 'heads: {best}'"
        raise PydanticCustomError("config", message, {"heads": heads, "width": width, "best": best})
