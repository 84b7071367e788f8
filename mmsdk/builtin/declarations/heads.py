"""Declarations of the built-in task heads. No torch here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from mmsdk.builtin.declarations.targets import AnswersConfig
from mmsdk.components import HeadConfig, TargetConfig
from mmsdk.errors import ConfigError, listed
from mmsdk.fields import Dropout, Fraction, Positive, errors_at
from mmsdk.formats import Format, Source

if TYPE_CHECKING:
    from mmsdk.interfaces import TaskHead

VQA = "vqa_accuracy"


class CheckedHead(HeadConfig):
    """Base of the heads here: refuses targets of the wrong kind and metrics of unknown origin."""

    target_kinds: ClassVar[tuple[str, ...]]
    """The kinds of target that this head can learn."""
    metric_example: ClassVar[str | None]
    """A metric that can be added to this head; None where it takes none."""

    @field_validator("target")
    @classmethod
    def _learnable(cls, target: str | TargetConfig | None) -> str | TargetConfig | None:
        modality = target.modality if isinstance(target, TargetConfig) else None
        if modality is not None and modality.gives not in cls.target_kinds:
            raise refusal(
                f"Head '{cls.type_name()}' takes targets of kind {listed(cls.target_kinds)}, "
                f"but '{modality.type_name()}' gives '{modality.gives}'."
            )
        return target

    @field_validator("metrics")
    @classmethod
    def _known_origin(cls, names: list[str]) -> list[str]:
        for name in names:
            if cls.metric_example is None:
                raise refusal(f"Head '{cls.type_name()}' takes no more metrics than its own: remove '{name}'.")
            if not re.fullmatch(r"torchmetrics\.[A-Za-z][A-Za-z0-9]*", name):
                raise refusal(
                    f"Unknown metric '{name}'. Beside its own metrics, head '{cls.type_name()}' "
                    f"can report those of torchmetrics, such as '{cls.metric_example}'."
                )
        return names


def refusal(message: str) -> PydanticCustomError:
    """The error of a validator that says this."""
    return PydanticCustomError("config", "{message}", {"message": message})


def _only(sources: Mapping[str, Source]) -> Source:
    (source,) = sources.values()
    return source


class ClassificationConfig(CheckedHead):
    """Predicts one label of several."""

    type: Literal["classification"] = "classification"
    scoring: ClassVar[bool] = True
    target_modality: ClassVar[str | None] = "label"
    target_kinds: ClassVar[tuple[str, ...]] = ("label", "soft_label", "answers")
    metric_example: ClassVar[str | None] = "torchmetrics.MulticlassCohenKappa"
    hidden: list[Positive] = Field([], description="widths of hidden layers; none by default")
    dropout: Dropout = 0.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="share of the probability that is spread evenly over all labels"
    )

    @field_validator("metrics")
    @classmethod
    def _known_origin(cls, names: list[str]) -> list[str]:
        super()._known_origin([name for name in names if name != VQA])
        return names

    @model_validator(mode="after")
    def _answers_are_counted(self) -> ClassificationConfig:
        modality = self.target.modality if isinstance(self.target, TargetConfig) else None
        if VQA in self.metrics and not isinstance(modality, AnswersConfig):
            message = f"'{VQA}' counts people: give 'target: {{column: ..., modality: answers}}'"
            raise errors_at("head", [(("metrics",), message)])
        return self

    def build(self, sources: Mapping[str, Source], target: Format | None) -> TaskHead:
        from mmsdk.builtin.heads.classification import Classification

        assert target is not None
        width = _only(sources).pooled_width
        return Classification(width, target.vocabulary, self.hidden, self.dropout, self.label_smoothing, self.metrics)


class MultilabelConfig(CheckedHead):
    """Predicts any number of labels, each on its own."""

    type: Literal["multilabel"] = "multilabel"
    scoring: ClassVar[bool] = True
    target_modality: ClassVar[str | None] = "labels"
    target_kinds: ClassVar[tuple[str, ...]] = ("labels",)
    metric_example: ClassVar[str | None] = "torchmetrics.MultilabelAveragePrecision"
    hidden: list[Positive] = Field([], description="widths of hidden layers; none by default")
    dropout: Dropout = 0.0
    threshold: Fraction = Field(0.5, description="probability from which on a label is predicted")

    def build(self, sources: Mapping[str, Source], target: Format | None) -> TaskHead:
        from mmsdk.builtin.heads.multilabel import Multilabel

        assert target is not None
        width = _only(sources).pooled_width
        return Multilabel(width, target.vocabulary, self.hidden, self.dropout, self.threshold, self.metrics)


class RegressionConfig(CheckedHead):
    """Predicts a number, or several."""

    type: Literal["regression"] = "regression"
    scoring: ClassVar[bool] = True
    target_modality: ClassVar[str | None] = "number"
    target_kinds: ClassVar[tuple[str, ...]] = ("number",)
    metric_example: ClassVar[str | None] = "torchmetrics.SpearmanCorrCoef"
    hidden: list[Positive] = Field([], description="widths of hidden layers; none by default")
    dropout: Dropout = 0.0
    loss: Literal["mse", "mae", "huber"] = Field("mse", description="of standardised numbers; huber bends at 1")

    def build(self, sources: Mapping[str, Source], target: Format | None) -> TaskHead:
        from mmsdk.builtin.heads.regression import Regression

        assert target is not None
        width = _only(sources).pooled_width
        return Regression(width, target.width, self.hidden, self.dropout, self.loss, self.metrics)


class TokenClassificationConfig(CheckedHead):
    """Predicts one label for each token of a source."""

    type: Literal["token_classification"] = "token_classification"
    target_modality: ClassVar[str | None] = "label_sequence"
    target_kinds: ClassVar[tuple[str, ...]] = ("label_sequence",)
    metric_example: ClassVar[str | None] = "torchmetrics.MulticlassF1Score"
    hidden: list[Positive] = Field([], description="widths of hidden layers; none by default")
    dropout: Dropout = 0.0

    def build(self, sources: Mapping[str, Source], target: Format | None) -> TaskHead:
        from mmsdk.builtin.heads.token_classification import TokenClassification

        assert target is not None
        width = _only(sources).width
        return TokenClassification(width, target.vocabulary, self.hidden, self.dropout, self.metrics)


class ContrastiveConfig(CheckedHead):
    """Pulls the embeddings of one sample's streams together, and those of different samples apart (InfoNCE).

    With a `target`, samples of the same label are not pushed apart, and finding any of them is right. Name
    one where values repeat, such as an image that has several captions: to tell equal values apart nobody can
    learn.
    """

    type: Literal["contrastive"] = "contrastive"
    sources: ClassVar[Literal["one", "several"]] = "several"
    target_modality: ClassVar[str | None] = "label"
    target_kinds: ClassVar[tuple[str, ...]] = ("label",)
    needs_target: ClassVar[bool] = False
    predicts: ClassVar[bool] = False
    metric_example: ClassVar[str | None] = None
    width: Positive | None = Field(
        128, description="of the embeddings; null compares the encoders' own vectors, which must be of one width"
    )
    loss: Literal["infonce", "siglip"] = Field(
        "infonce", description="infonce: find the partner among all; siglip: for each two, whether they are partners"
    )
    temperature: float | None = Field(
        None, gt=0, le=10, description="where it begins; by default that of the pre-trained encoders, or of the papers"
    )
    pairs: list[tuple[str, str]] = Field([], description="which of `reads` are compared; by default each two of them")

    @model_validator(mode="after")
    def _pairs_are_read(self) -> ContrastiveConfig:
        for place, pair in enumerate(self.pairs):
            unknown = [name for name in pair if name not in self.reads]
            if unknown or pair[0] == pair[1]:
                raise errors_at(
                    "head",
                    [(("pairs", place), f"Give two different ones of {listed(self.reads)}, found {list(pair)}.")],
                )
        return self

    def build(self, sources: Mapping[str, Source], target: Format | None) -> TaskHead:
        from mmsdk.builtin.heads.contrastive import Contrastive

        widths = {read: source.pooled_width for read, source in sources.items()}
        if self.width is None and len(set(widths.values())) > 1:
            found = ", ".join(f"'{read}' {width}" for read, width in widths.items())
            raise ConfigError(f"Head 'contrastive' has 'width: null', but its sources differ: {found}. Give a width.")
        known = [source.temperature for source in sources.values() if source.temperature is not None]
        temperature = self.temperature or next(iter(known), None)
        return Contrastive(widths, self.width, loss=self.loss, temperature=temperature, pairs=self.pairs)


class MatchingConfig(CheckedHead):
    """Tells whether the streams of a sample belong together, or come from two different samples.

    Reads `fused` and the streams that it mixes. A `contrastive` head of the same streams, named before it, makes it
    look at samples that are hard to tell apart. With a `target`, samples of the same label are not mixed.
    """

    type: Literal["matching"] = "matching"
    sources: ClassVar[Literal["one", "several"]] = "several"
    target_modality: ClassVar[str | None] = "label"
    target_kinds: ClassVar[tuple[str, ...]] = ("label",)
    needs_target: ClassVar[bool] = False
    metric_example: ClassVar[str | None] = None
    hidden: list[Positive] = Field([], description="widths of hidden layers; none by default")
    dropout: Dropout = 0.0
    temperature: float = Field(0.1, gt=0, le=100, description="the lower, the more it looks at hard ones")

    @model_validator(mode="after")
    def _fused_and_streams(self) -> MatchingConfig:
        streams = [name for name in self.reads if name != "fused"]
        if "reads" in self.model_fields_set and (len(streams) == len(self.reads) or len(streams) < 2):
            raise errors_at(
                "head", [(("reads",), f"Give fused and two streams or more: reads: [fused, {', '.join(streams)}...].")]
            )
        return self

    def build(self, sources: Mapping[str, Source], target: Format | None) -> TaskHead:
        from mmsdk.builtin.heads.matching import Matching

        return Matching(sources["fused"].pooled_width, self.hidden, self.dropout, self.temperature)


class MaskedConfig(CheckedHead):
    """Hides a part of a stream and predicts it from what is left, with the help of the other streams.

    Reads `fused.<stream>`: that stream is hidden. Its kind is tokens, sequence, spectrogram, or pixels with `vit`.
    """

    type: Literal["masked"] = "masked"
    target_modality: ClassVar[str | None] = None
    needs_target: ClassVar[bool] = False
    predicts: ClassVar[bool] = False
    metric_example: ClassVar[str | None] = None
    share: float = Field(0.15, gt=0, lt=1, description="how much is hidden; 0.5 or so of patches")
    patch: Positive = Field(8, description="the side of a patch of pixels, as in the encoder")

    @field_validator("reads")
    @classmethod
    def _one_stream(cls, reads: list[str]) -> list[str]:
        if len(reads) != 1 or not reads[0].startswith("fused."):
            raise ValueError(f"expected the stream that is to be hidden, such as [fused.text], found {reads}")
        return reads

    def build(self, sources: Mapping[str, Source], target: Format | None) -> TaskHead:
        from mmsdk.builtin.heads.hiding import NUMBERS
        from mmsdk.builtin.heads.masked import Masked

        ((read, source),) = sources.items()
        format = source.format or Format("")
        sizes = {"tokens": format.vocabulary, "pixels": 3 * self.patch**2, **dict.fromkeys(NUMBERS, format.width)}
        stream = read.partition(".")[2]
        if format.kind not in sizes:
            raise ConfigError(f"Head 'masked' hides {listed(sizes)}, but stream '{stream}' gives '{format.kind}'.")
        return Masked(source.width, sizes[format.kind], stream, format.kind, self.share, self.patch)


HEADS: list[type[HeadConfig]] = [
    ClassificationConfig,
    MultilabelConfig,
    RegressionConfig,
    TokenClassificationConfig,
    ContrastiveConfig,
    MatchingConfig,
    MaskedConfig,
]
