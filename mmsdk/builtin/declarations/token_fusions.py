"""Declarations of the fusions that read the tokens of the streams. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from mmsdk.builtin.declarations.attention import require_even_heads
from mmsdk.builtin.declarations.fusion_basics import Absence, block, linear, refuse
from mmsdk.components import FusionConfig
from mmsdk.errors import did_you_mean, listed
from mmsdk.fields import Dropout, Positive
from mmsdk.formats import Source

if TYPE_CHECKING:
    from mmsdk.interfaces import FusionStrategy


class FiLMConfig(FusionConfig):
    """Lets one stream scale and shift the features of another one's tokens."""

    type: Literal["film"] = "film"
    absence: ClassVar[Absence] = "independent"
    target: str | None = Field(None, description="the stream whose tokens are modulated; by default the first")
    condition: str | None = Field(None, description="the stream that modulates them; by default the second")
    layers: Positive = Field(2, description="modulated layers, one after the other")
    width: Positive = Field(128, description="of the fused tokens and vector")
    dropout: Dropout = 0.0

    def check(self, streams: list[str]) -> str | None:
        for field, name in (("target", self.target), ("condition", self.condition)):
            if name is not None and name not in streams:
                hint = did_you_mean(name, streams) or f" Streams: {listed(streams)}."
                return f"Fusion 'film': there is no stream '{name}' for '{field}'.{hint}"
        if self.target is not None and self.target == self.condition:
            return f"Fusion 'film': '{self.target}' cannot modulate itself; name two streams."
        if (self.target is None or self.condition is None) and len(streams) != 2:
            return (
                f"Fusion 'film' joins two of {len(streams)} streams: {listed(streams)}. "
                "Name them with 'target: <stream>' (modulated) and 'condition: <stream>' (modulates it)."
            )
        return None

    def pair(self, streams: list[str]) -> tuple[str, str]:
        """(target, condition): as configured, and otherwise in the order of the config."""
        first = next(name for name in streams if name != self.condition)
        target = self.target or first
        return target, self.condition or next(name for name in streams if name != target)

    def parameters(self, sources: Mapping[str, Source]) -> int:
        target, condition = self.pair(list(sources))
        width, pooled = self.width, sources[condition].pooled_width
        return (
            linear(sources[target].width, width)
            + self.layers * 2 * linear(width, width)
            + linear(pooled, 2 * self.layers * width)
            + linear(2 * width + pooled, width)
        )

    def build(self, sources: Mapping[str, Source]) -> FusionStrategy:
        from mmsdk.builtin.fusions.film import FiLM

        refuse(self.check(list(sources)))
        target, condition = self.pair(list(sources))
        return FiLM(sources, target, condition, self.width, self.layers, self.dropout)


class _Attentive(FusionConfig):
    """Base of strategies made of attention blocks over tokens."""

    type: str
    absence: ClassVar[Absence] = "exact"
    contextual: ClassVar[bool] = True
    layers: Positive = Field(2, description="blocks of attention")
    width: Positive = Field(128, description="of tokens and of the fused vector")
    heads: Positive = Field(4, description="attention heads; they share the width evenly")
    dropout: Dropout = 0.1

    @model_validator(mode="after")
    def _even_heads(self) -> _Attentive:
        require_even_heads("fusion", self.width, self.heads)
        return self

    def _projections(self, sources: Mapping[str, Source]) -> int:
        return sum(linear(source.width, self.width) for source in sources.values())


class TransformerFusionConfig(_Attentive):
    """One transformer over the tokens of all streams in one sequence (single stream)."""

    type: Literal["transformer"] = "transformer"

    def parameters(self, sources: Mapping[str, Source]) -> int:
        vectors = len(sources) + 1 + 2  # of each stream, of the summary, of the last norm
        return self._projections(sources) + vectors * self.width + self.layers * block(self.width, norms=2)

    def build(self, sources: Mapping[str, Source]) -> FusionStrategy:
        from mmsdk.builtin.fusions.transformer import TransformerFusion

        return TransformerFusion(sources, self.width, self.layers, self.heads, self.dropout)


class CrossAttentionConfig(_Attentive):
    """Lets the tokens of each stream attend to those of all others, layer by layer (two streams or more)."""

    type: Literal["cross_attention"] = "cross_attention"

    def check(self, streams: list[str]) -> str | None:
        if len(streams) < 2:
            return "Fusion 'cross_attention' joins two streams or more; for a single one use 'transformer'."
        return None

    def parameters(self, sources: Mapping[str, Source]) -> int:
        layer = block(self.width, norms=3) + block(self.width, norms=2)
        return self._projections(sources) + len(sources) * (self.layers * layer + 2 * self.width)

    def build(self, sources: Mapping[str, Source]) -> FusionStrategy:
        from mmsdk.builtin.fusions.cross_attention import CrossAttention

        refuse(self.check(list(sources)))
        return CrossAttention(sources, self.width, self.layers, self.heads, self.dropout)


class BottleneckConfig(_Attentive):
    """A transformer per stream; streams exchange what they know through a few shared tokens alone (MBT)."""

    type: Literal["bottleneck"] = "bottleneck"
    layers: Annotated[int, Field(ge=2, strict=True)] = Field(
        2, description="the first fills the shared tokens, and only from the second on are they read"
    )
    tokens: Positive = Field(4, description="shared tokens")

    def parameters(self, sources: Mapping[str, Source]) -> int:
        own = self.layers * block(self.width, norms=2) + 2 * self.width
        return self._projections(sources) + len(sources) * own + self.tokens * self.width

    def build(self, sources: Mapping[str, Source]) -> FusionStrategy:
        from mmsdk.builtin.fusions.bottleneck import Bottleneck

        return Bottleneck(sources, self.width, self.layers, self.heads, self.tokens, self.dropout)


class PerceiverConfig(_Attentive):
    """A fixed number of learned vectors look things up in the tokens of all streams, then in one another."""

    type: Literal["perceiver"] = "perceiver"
    contextual: ClassVar[bool] = False
    layers: Positive = Field(1, description="each looks into the streams once")
    latents: Positive = Field(16, description="learned vectors")

    def parameters(self, sources: Mapping[str, Source]) -> int:
        vectors = len(sources) + self.latents + 2  # of each stream, the learned ones, of the last norm
        layer = block(self.width, norms=3) + block(self.width, norms=2)
        return self._projections(sources) + vectors * self.width + self.layers * layer

    def build(self, sources: Mapping[str, Source]) -> FusionStrategy:
        from mmsdk.builtin.fusions.perceiver import Perceiver

        return Perceiver(sources, self.width, self.layers, self.heads, self.latents, self.dropout)
