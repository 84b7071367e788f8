"""Declarations of the built-in modalities: text, image, features, tabular."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from mmsdk.builtin.declarations import recognition
from mmsdk.components import ModalityConfig
from mmsdk.fields import ConfigPath, Dropout, Fraction, Positive, errors_at

if TYPE_CHECKING:
    from mmsdk.interfaces import Modality
    from mmsdk.proposal import Column, Proposal

Side = Annotated[int, Field(gt=0, le=4096)]
Deviation = Annotated[float, Field(ge=0)]

BYTE_LEVEL_VOCABULARY = 5 + 256
"""The special tokens and one token per byte: what a byte-level tokenizer has at least."""


class TextConfig(ModalityConfig):
    """Text, cut into tokens by a tokenizer that is learned from the training texts or read from a file."""

    type: Literal["text"] = "text"
    gives: ClassVar[str] = "tokens"
    targets: ClassVar[bool] = True

    tokenizer: Literal["words", "bpe", "bytes"] = Field(
        "words",
        description="words: with punctuation; bpe: frequent pieces, none unknown; bytes: one token each",
    )
    file: ConfigPath | None = Field(
        None, description="a tokenizer.json to use instead; only `max_length` and `word_dropout` matter then"
    )
    lowercase: bool = Field(True, description="write all letters small first")
    vocabulary: int = Field(10_000, gt=5, description="upper bound, with the five special tokens")
    min_count: Positive = Field(1, description="words, or pairs of pieces, that are rarer get no token")
    max_length: Positive = Field(128, description="in tokens; longer texts lose their end")
    word_dropout: Dropout = Field(0.0, description="chance of each token to be unknown, in training only")

    @model_validator(mode="after")
    def _room_for_bytes(self) -> TextConfig:
        if self.file is None and self.tokenizer == "bpe" and self.vocabulary < BYTE_LEVEL_VOCABULARY:
            message = f"'bpe' begins with {BYTE_LEVEL_VOCABULARY} tokens: raise 'vocabulary' to that or more"
            raise errors_at("text", [(("vocabulary",), message)])
        return self

    @classmethod
    def recognises(cls, column: Column) -> Proposal | None:
        return recognition.text(column)

    def build(self) -> Modality:
        from mmsdk.builtin.modalities.text import Text

        return Text(
            tokenizer=self.tokenizer,
            file=self.file,
            lowercase=self.lowercase,
            vocabulary=self.vocabulary,
            min_count=self.min_count,
            max_length=self.max_length,
            word_dropout=self.word_dropout,
        )


class ImageConfig(ModalityConfig):
    """Images: files (JPEG, PNG, WEBP, GIF, BMP), their bytes, or arrays of pixels.

    The fields from `shift` on vary the images at random, in training only.
    """

    type: Literal["image"] = "image"
    gives: ClassVar[str] = "pixels"
    targets: ClassVar[bool] = True

    size: Side | tuple[Side, Side] = Field(64, description="in pixels: of a square, or [height, width]")
    resize: Literal["stretch", "crop"] = Field(
        "stretch", description="stretch: to the size; crop: keep the proportions and cut off what sticks out"
    )
    shift: Fraction = Field(0.0, description="at most this share of the size, in each direction")
    rotate: float = Field(0.0, ge=0, le=180, description="at most this many degrees, either way")
    scale: float = Field(0.0, ge=0, lt=1, description="larger or smaller by at most this share")
    flip: bool = Field(False, description="mirror every other image, left to right")
    stroke: float = Field(0.0, ge=0, le=0.2, description="strokes thicker or thinner by at most this share of the size")
    noise: Deviation = Field(0.0, description="standard deviation, where black is 0 and white is 1")
    brightness: Fraction = Field(0.0, description="lighter or darker by at most this share")

    @classmethod
    def recognises(cls, column: Column) -> Proposal | None:
        return recognition.image(column)

    def build(self) -> Modality:
        from mmsdk.builtin.modalities.image import Image

        return Image(
            size=self.size,
            resize=self.resize,
            shift=self.shift,
            rotate=self.rotate,
            scale=self.scale,
            flip=self.flip,
            stroke=self.stroke,
            noise=self.noise,
            brightness=self.brightness,
        )


class FeaturesConfig(ModalityConfig):
    """Numbers computed elsewhere: one vector, or one per time step, as a list, an array or a file.

    Files are `.npy` or `.safetensors`.
    """

    type: Literal["features"] = "features"
    gives: ClassVar[str] = "sequence"
    reads_lists: ClassVar[bool] = True

    tensor: str | None = Field(None, description="its name in a .safetensors file that holds several")
    standardize: bool = Field(True, description="mean 0 and standard deviation 1 per feature, on training values")
    max_length: Positive = Field(512, description="in steps; longer sequences lose their end")
    noise: Deviation = Field(0.0, description="standard deviation of noise on the numbers, in training only")

    @classmethod
    def recognises(cls, column: Column) -> Proposal | None:
        return recognition.features(column)

    def build(self) -> Modality:
        from mmsdk.builtin.modalities.features import Features

        return Features(
            tensor=self.tensor,
            standardize=self.standardize,
            max_length=self.max_length,
            noise=self.noise,
        )


class TabularConfig(ModalityConfig):
    """Columns of a table, numbers and categories, any of which may be missing in a row."""

    type: Literal["tabular"] = "tabular"
    gives: ClassVar[str] = "table"

    numbers: list[str] = Field([], description="columns of numbers")
    categories: list[str] = Field([], description="columns with a few different values, text or not")
    indicators: bool = Field(True, description="tell which numbers are missing, in a further number per column")
    noise: Deviation = Field(0.0, description="standard deviation of noise on standardized numbers, in training only")
    column_dropout: Dropout = Field(0.0, description="chance of each column to be missing, in training only")

    @model_validator(mode="after")
    def _columns_given(self) -> TabularConfig:
        names = self.columns()
        twice = sorted({name for name in names if names.count(name) > 1})
        if not names:
            raise errors_at("tabular", [((), "needs 'numbers: [COLUMN, ...]' or 'categories: [COLUMN, ...]'")])
        if twice:
            raise errors_at("tabular", [((), f"column '{twice[0]}' is named twice: name each column once")])
        return self

    def columns(self) -> list[str]:
        return [*self.numbers, *self.categories]

    @classmethod
    def recognises(cls, column: Column) -> Proposal | None:
        return recognition.tabular(column)

    def build(self) -> Modality:
        from mmsdk.builtin.modalities.tabular import Tabular

        return Tabular(
            numbers=self.numbers,
            categories=self.categories,
            indicators=self.indicators,
            noise=self.noise,
            column_dropout=self.column_dropout,
        )


MODALITIES: list[type[ModalityConfig]] = [TextConfig, ImageConfig, FeaturesConfig, TabularConfig]
