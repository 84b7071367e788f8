"""Declarations and hooks. No torch here: `build` imports it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, field_validator

from mmsdk import AnyEncoder, AnyFusion, Dropout, EncoderConfig, Format, FusionConfig, Source, hookimpl

if TYPE_CHECKING:
    from mmsdk_fusion.aligned import Aligned
    from mmsdk_fusion.compare import Compare
    from mmsdk_fusion.mmmu_ba import BimodalAttention

Positive = Annotated[int, Field(gt=0)]


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


class AlignedConfig(FusionConfig):
    """Joins sequences that keep step, such as the utterances of a video, step by step with another strategy.

    Gives one token per step, which `token_classification` reads.
    """

    type: Literal["fusion.aligned"] = "fusion.aligned"

    of: AnyFusion = Field(description="what joins the streams of one step")
    context: AnyEncoder | None = Field(None, description="an encoder of `sequence` over the steps, such as rnn")

    @field_validator("context")
    @classmethod
    def _reads_sequences(cls, context: EncoderConfig | None) -> EncoderConfig | None:
        if context is not None and "sequence" not in context.reads:
            raise ValueError(f"'{context.type_name()}' does not read 'sequence': give rnn or transformer")
        return context

    def check(self, streams: list[str]) -> str | None:
        if self.of.absence == "unsupported":
            name = self.of.type_name()
            return f"Fusion '{name}' needs every stream, but a step may lack one: choose another 'of'."
        return self.of.check(streams)

    def parameters(self, sources: Mapping[str, Source]) -> int | None:
        return self.of.parameters(_of_steps(sources)) if self.context is None else None

    def build(self, sources: Mapping[str, Source]) -> Aligned:
        from mmsdk import FeatureFusion
        from mmsdk_fusion.aligned import Aligned

        of = self.of.build(_of_steps(sources))
        assert isinstance(of, FeatureFusion)
        return Aligned(of, self.context and self.context.build(Format("sequence", width=of.pooled_width)))


def _of_steps(sources: Mapping[str, Source]) -> dict[str, Source]:
    """The sources of one step: its token is also its pooled vector."""
    return {name: Source(source.width, source.width, source.format) for name, source in sources.items()}


class BimodalAttentionConfig(FusionConfig):
    """Lets the steps of each two streams attend to one another, gated by multiplication (Ghosal et al. 2018).

    For sequences that keep step, such as the utterances of a video. Gives one token per step, which
    `token_classification` reads.
    """

    type: Literal["fusion.mmmu_ba"] = "fusion.mmmu_ba"

    width: Positive = Field(100, description="of the dense layer; tokens have it once per stream and twice per pair")
    dropout: Dropout = Field(0.0, description="before and after the dense layer")

    def check(self, streams: list[str]) -> str | None:
        return None if len(streams) > 1 else "Fusion 'fusion.mmmu_ba' joins two streams or more, found 1."

    def parameters(self, sources: Mapping[str, Source]) -> int | None:
        return sum((source.width + 1) * self.width for source in sources.values())

    def build(self, sources: Mapping[str, Source]) -> BimodalAttention:
        from mmsdk_fusion.mmmu_ba import BimodalAttention

        return BimodalAttention(sources, self.width, self.dropout)


@hookimpl
def mmsdk_fusions() -> list[type[FusionConfig]]:
    return [CompareConfig, AlignedConfig, BimodalAttentionConfig]
