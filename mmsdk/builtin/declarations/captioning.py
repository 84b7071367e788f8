"""Declarations of the heads that write texts: their base, and the built-in one. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from mmsdk.builtin.declarations.attention import require_even_heads
from mmsdk.builtin.declarations.heads import CheckedHead, refusal
from mmsdk.components import HeadConfig
from mmsdk.errors import did_you_mean, listed
from mmsdk.fields import Dropout, Positive, Strict, errors_at
from mmsdk.formats import Format, Source

if TYPE_CHECKING:
    from mmsdk.interfaces import TaskHead

OF_TEXTS = ("exact_match", "token_f1", "rouge_l", "bleu")
"""The metrics that judge what is written."""
USED_BY = {"beams": "beam", "length_penalty": "beam", "temperature": "sample", "top_p": "sample", "seed": "sample"}
"""Options that only one way to search looks at."""


class GenerationConfig(Strict):
    """How texts are written."""

    search: Literal["greedy", "beam", "sample"] = Field(
        "greedy",
        description="greedy: the most probable token each time; beam: the best of several beginnings; sample: drawn",
    )
    beams: int = Field(4, gt=0, le=64, description="beam: how many beginnings are followed")
    length_penalty: float = Field(
        1.0, ge=0, le=10, description="beam: log-probabilities are divided by length to this power; 0 favours the short"
    )
    temperature: float = Field(1.0, gt=0, le=100, description="sample: lower keeps to the probable")
    top_p: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="sample: only the most probable tokens that have this share together"
    )
    seed: int = Field(0, ge=0, description="sample: another one draws other texts")
    repetition_penalty: float = Field(1.0, ge=1, le=10, description="makes tokens that are there already less probable")
    no_repeat: int = Field(0, ge=0, description="no run of so many tokens comes twice; 0 allows it")
    max_tokens: Positive = Field(64, description="longer texts lose their end")

    @model_validator(mode="after")
    def _options_are_used(self) -> GenerationConfig:
        for name, search in USED_BY.items():
            value = getattr(self, name)
            if search != self.search and value != type(self).model_fields[name].default:
                message = f"'{name}: {value}' is for 'search: {search}', found '{self.search}': change one of them"
                raise errors_at("generation", [((name,), message)])
        return self


class WritingConfig(CheckedHead):
    """Base of the heads that write a text: their target, their metrics, and how they write."""

    target_modality: ClassVar[str | None] = "text"
    target_kinds: ClassVar[tuple[str, ...]] = ("tokens",)
    metric_example: ClassVar[str | None] = "exact_match"

    generation: GenerationConfig = Field(GenerationConfig(), description="how texts are written when predicting")

    @field_validator("metrics")
    @classmethod
    def _known_origin(cls, names: list[str]) -> list[str]:
        for name in names:
            if name not in OF_TEXTS:
                hint = did_you_mean(name, OF_TEXTS)
                raise refusal(f"Unknown metric '{name}'.{hint} Head '{cls.type_name()}' can add {listed(OF_TEXTS)}.")
        return names

    def writing(self) -> dict[str, Any]:
        """The arguments that every `WritingHead` takes."""
        from mmsdk.builtin.heads.generation import Generation

        return {"generation": Generation(**self.generation.model_dump()), "metrics": self.metrics}


class CaptioningConfig(WritingConfig):
    """Writes a text, such as the caption of an image or the answer to a question, token by token.

    The tokens are those of the target's tokenizer. `metrics` may add `exact_match`, `token_f1`, `rouge_l` and
    `bleu`, for which each evaluation writes a text per sample.
    """

    type: Literal["captioning"] = "captioning"

    decoder: Literal["transformer", "rnn"] = Field(
        "transformer", description="transformer: looks at all tokens of the source; rnn: an LSTM"
    )
    width: Positive = Field(128, description="of the decoder")
    layers: Positive = Field(2, description="of the decoder")
    heads: Positive = Field(4, description="attention heads; they share the width evenly")
    attention: bool = Field(True, description="rnn: whether it looks at the tokens, beside the pooled vector")
    dropout: Dropout = 0.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="share of the probability that is spread evenly over all tokens"
    )

    @model_validator(mode="after")
    def _decoder_is_whole(self) -> CaptioningConfig:
        if self.decoder == "transformer" and not self.attention:
            message = "A transformer looks at the source by attention: remove it, or give 'decoder: rnn'"
            raise errors_at("head", [(("attention",), message)])
        if self.attention:
            require_even_heads("head", self.width, self.heads)
        return self

    def build(self, sources: Mapping[str, Source], target: Format | None) -> TaskHead:
        from mmsdk.builtin.heads.captioning import Captioning
        from mmsdk.builtin.layers.decoders import Decoder, RecurrentDecoder, TransformerDecoder

        assert target is not None
        (source,) = sources.values()
        decoder: Decoder
        if self.decoder == "rnn":
            decoder = RecurrentDecoder(
                source.width,
                self.width,
                layers=self.layers,
                heads=self.heads,
                dropout=self.dropout,
                attention=self.attention,
            )
        else:
            decoder = TransformerDecoder(
                source.width, self.width, layers=self.layers, heads=self.heads, dropout=self.dropout
            )
        return Captioning(
            source.pooled_width,
            target.vocabulary,
            decoder,
            self.width,
            dropout=self.dropout,
            label_smoothing=self.label_smoothing,
            **self.writing(),
        )


WRITERS: list[type[HeadConfig]] = [CaptioningConfig]
