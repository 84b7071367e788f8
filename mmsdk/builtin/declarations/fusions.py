"""Declarations of the built-in fusions: seven of feature level, two decision rules. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from mmsdk.builtin.declarations.attention import require_even_heads
from mmsdk.components import DecisionConfig, FusionConfig
from mmsdk.errors import ConfigError, did_you_mean, listed
from mmsdk.fields import Dropout, Positive
from mmsdk.formats import Source

if TYPE_CHECKING:
    from mmsdk.interfaces import FusionStrategy

Absence = Literal["exact", "independent", "imputed", "unsupported"]


def _linear(inputs: int, outputs: int) -> int:
    """Parameters of a linear layer with bias."""
    return (inputs + 1) * outputs


def _block(width: int, norms: int) -> int:
    """Parameters of an attention block: norms, four projections, and two layers over four times the width."""
    attention = 4 * _linear(width, width) - width  # the keys have no bias
    feedforward = _linear(width, 4 * width) + _linear(4 * width, width)
    return norms * 2 * width + attention + feedforward


def _pooled(sources: Mapping[str, Source]) -> list[int]:
    return [source.pooled_width for source in sources.values()]


class _Vectors(FusionConfig):
    """Base of strategies that read the pooled vectors alone and give one vector."""

    type: str  # here already, so that it stays the first field of every subclass
    width: Positive = Field(128, description="of the fused vector")
    dropout: Dropout = 0.0


class ConcatConfig(_Vectors):
    """Concatenates the pooled vectors and projects them; a learned vector stands in for an absent one."""

    type: Literal["concat"] = "concat"
    absence: ClassVar[Absence] = "imputed"

    def parameters(self, sources: Mapping[str, Source]) -> int:
        total = sum(_pooled(sources))
        return _linear(total, self.width) + total

    def build(self, sources: Mapping[str, Source]) -> FusionStrategy:
        from mmsdk.builtin.fusions.concat import Concat

        return Concat(sources, self.width, self.dropout)


class MeanConfig(_Vectors):
    """Projects each stream's pooled vector to one width and takes the mean over the present streams."""

    type: Literal["mean"] = "mean"
    absence: ClassVar[Absence] = "exact"

    def parameters(self, sources: Mapping[str, Source]) -> int:
        return sum(_linear(width, self.width) for width in _pooled(sources))

    def build(self, sources: Mapping[str, Source]) -> FusionStrategy:
        from mmsdk.builtin.fusions.mean import Mean

        return Mean(sources, self.width, self.dropout)


class ProductConfig(_Vectors):
    """Projects each stream's pooled vector to one width and multiplies those of the present streams."""

    type: Literal["product"] = "product"
    absence: ClassVar[Absence] = "exact"

    def parameters(self, sources: Mapping[str, Source]) -> int:
        return sum(_linear(width, self.width) for width in _pooled(sources))

    def build(self, sources: Mapping[str, Source]) -> FusionStrategy:
        from mmsdk.builtin.fusions.product import Product

        return Product(sources, self.width, self.dropout)


class GatedConfig(_Vectors):
    """Adds the streams up, each through a gate that depends on all of them."""

    type: Literal["gated"] = "gated"
    absence: ClassVar[Absence] = "exact"

    def parameters(self, sources: Mapping[str, Source]) -> int:
        values = sum(_linear(width, self.width) for width in _pooled(sources))
        return values + _linear(sum(_pooled(sources)), len(sources) * self.width)

    def build(self, sources: Mapping[str, Source]) -> FusionStrategy:
        from mmsdk.builtin.fusions.gated import Gated

        return Gated(sources, self.width, self.dropout)


class FiLMConfig(FusionConfig):
    """Lets one stream scale and shift the features of another one's tokens."""

    type: Literal["film"] = "film"
    absence: ClassVar[Absence] = "independent"
    target: str | None = Field(None, description="the stream whose tokens are modulated; by default the first")
    condition: str | None = Field(None, description="the stream that modulates them; by default the second")
    layers: Positive = Field(2, description="modulated layers, one after the other")
    width: Positive = 128
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
            _linear(sources[target].width, width)
            + self.layers * 2 * _linear(width, width)
            + _linear(pooled, 2 * self.layers * width)
            + _linear(2 * width + pooled, width)
        )

    def build(self, sources: Mapping[str, Source]) -> FusionStrategy:
        from mmsdk.builtin.fusions.film import FiLM

        _refuse(self.check(list(sources)))
        target, condition = self.pair(list(sources))
        return FiLM(sources, target, condition, self.width, self.layers, self.dropout)


class _Attentive(FusionConfig):
    """Base of strategies made of attention blocks over tokens."""

    type: str
    absence: ClassVar[Absence] = "exact"
    contextual: ClassVar[bool] = True
    layers: Positive = 2
    width: Positive = Field(128, description="of tokens and of the fused vector")
    heads: Positive = Field(4, description="attention heads; they share the width evenly")
    dropout: Dropout = 0.1

    @model_validator(mode="after")
    def _even_heads(self) -> _Attentive:
        require_even_heads("fusion", self.width, self.heads)
        return self

    def _projections(self, sources: Mapping[str, Source]) -> int:
        return sum(_linear(source.width, self.width) for source in sources.values())


class TransformerFusionConfig(_Attentive):
    """One transformer over the tokens of all streams in one sequence (single stream)."""

    type: Literal["transformer"] = "transformer"

    def parameters(self, sources: Mapping[str, Source]) -> int:
        vectors = len(sources) + 1 + 2  # of each stream, of the summary, of the last norm
        return self._projections(sources) + vectors * self.width + self.layers * _block(self.width, norms=2)

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
        layer = _block(self.width, norms=3) + _block(self.width, norms=2)
        return self._projections(sources) + len(sources) * (self.layers * layer + 2 * self.width)

    def build(self, sources: Mapping[str, Source]) -> FusionStrategy:
        from mmsdk.builtin.fusions.cross_attention import CrossAttention

        _refuse(self.check(list(sources)))
        return CrossAttention(sources, self.width, self.layers, self.heads, self.dropout)


class DecisionMeanConfig(DecisionConfig):
    """The mean of what the sources say: of their probabilities, or of their values (sum rule)."""

    type: Literal["decision_mean"] = "decision_mean"

    def parameters(self, sources: Mapping[str, Source]) -> int:
        return 0

    def build(self, sources: Mapping[str, Source]) -> FusionStrategy:
        from mmsdk.builtin.fusions.decision_mean import DecisionMean

        return DecisionMean(_space(sources))


class DecisionProductConfig(DecisionConfig):
    """The product of the sources' probabilities, normalised again: each source can veto (product rule)."""

    type: Literal["decision_product"] = "decision_product"

    def parameters(self, sources: Mapping[str, Source]) -> int:
        return 0

    def build(self, sources: Mapping[str, Source]) -> FusionStrategy:
        from mmsdk.builtin.fusions.decision_product import DecisionProduct

        space = _space(sources)
        if space == "values":
            raise ConfigError(
                "decision_product multiplies probabilities, but these heads give values: "
                "use decision: {type: decision_mean}."
            )
        return DecisionProduct(space)


def _space(sources: Mapping[str, Source]) -> str:
    """What the sources' scores are: "log_probabilities", "log_odds" or "values"; the same for all of them."""
    format = next(iter(sources.values())).format
    assert format is not None  # the pipeline gives the space of the heads
    return format.kind


def _refuse(complaint: str | None) -> None:
    if complaint is not None:
        raise ConfigError(complaint)


FUSIONS: list[type[FusionConfig]] = [
    ConcatConfig,
    MeanConfig,
    ProductConfig,
    GatedConfig,
    FiLMConfig,
    TransformerFusionConfig,
    CrossAttentionConfig,
    DecisionMeanConfig,
    DecisionProductConfig,
]
