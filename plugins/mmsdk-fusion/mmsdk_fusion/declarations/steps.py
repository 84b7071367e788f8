"""Strategies for sequences: joined step by step. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator

from mmsdk import AnyEncoder, AnyFusion, Dropout, EncoderConfig, Format, FusionConfig, Source
from mmsdk_fusion.declarations.common import Absence, Positive, of_tokens, several

if TYPE_CHECKING:
    from mmsdk_fusion.aligned import Aligned
    from mmsdk_fusion.early import Early
    from mmsdk_fusion.mmmu_ba import BimodalAttention


def _of_sequences(encoder: EncoderConfig | None) -> EncoderConfig | None:
    if encoder is not None and "sequence" not in encoder.reads:
        raise ValueError(f"'{encoder.type_name()}' does not read 'sequence': give rnn or transformer")
    return encoder


class AlignedConfig(FusionConfig):
    """Joins sequences that keep step, such as the utterances of a video, step by step with another strategy.

    Gives one token per step, which `token_classification` reads.
    """

    type: Literal["fusion.aligned"] = "fusion.aligned"

    of: AnyFusion = Field(description="what joins the streams of one step")
    context: AnyEncoder | None = Field(None, description="an encoder of `sequence` over the steps, such as rnn")

    _reads_sequences = field_validator("context")(_of_sequences)

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


class EarlyConfig(FusionConfig):
    """Joins the streams' sequences step by step before one encoder reads them all (early fusion, EF-LSTM).

    Streams that do not keep step are stretched to the longest one.
    """

    type: Literal["fusion.early"] = "fusion.early"
    absence: ClassVar[Absence] = "exact"

    width: Positive = Field(128, description="of a joined step")
    encoder: AnyEncoder = Field(
        {"type": "rnn", "cell": "lstm"},
        validate_default=True,
        description="an encoder of `sequence` over the joined steps",
    )

    _reads_sequences = field_validator("encoder")(_of_sequences)

    def build(self, sources: Mapping[str, Source]) -> Early:
        from mmsdk_fusion.early import Early

        return Early(sources, self.width, self.encoder.build(Format("sequence", width=self.width)))


class BimodalAttentionConfig(FusionConfig):
    """Lets the steps of each two streams attend to one another, gated by multiplication (Ghosal et al. 2018).

    For sequences that keep step, such as the utterances of a video. Gives one token per step, which
    `token_classification` reads.
    """

    type: Literal["fusion.mmmu_ba"] = "fusion.mmmu_ba"

    width: Positive = Field(100, description="of the dense layer; tokens have it once per stream and twice per pair")
    dropout: Dropout = Field(0.0, description="before and after the dense layer")

    def check(self, streams: list[str]) -> str | None:
        return several("fusion.mmmu_ba", streams)

    def parameters(self, sources: Mapping[str, Source]) -> int:
        return of_tokens(sources, self.width)

    def build(self, sources: Mapping[str, Source]) -> BimodalAttention:
        from mmsdk_fusion.mmmu_ba import BimodalAttention

        return BimodalAttention(sources, self.width, self.dropout)
