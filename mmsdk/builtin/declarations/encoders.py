"""Config classes of the built-in encoders; no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from mmsdk.builtin.declarations.attention import require_even_heads
from mmsdk.components import EncoderConfig
from mmsdk.fields import Dropout, Positive, errors_at
from mmsdk.formats import Format

if TYPE_CHECKING:
    from mmsdk.interfaces import Encoder


class _OneWidth(EncoderConfig):
    """Base of encoders whose tokens and pooled vectors are equally wide."""

    type: str  # here already, so that it stays the first field of every subclass
    width: Positive = Field(128, description="of the tokens and of the pooled vector")

    def widths(self) -> tuple[int, int]:
        return self.width, self.width


class _Attentive(_OneWidth):
    """Base of encoders made of self-attention blocks."""

    layers: Positive = Field(2, description="blocks of self-attention")
    heads: Positive = Field(4, description="attention heads; they share the width evenly")
    dropout: Dropout = 0.1

    @model_validator(mode="after")
    def _even_heads(self) -> _Attentive:
        require_even_heads("encoder", self.width, self.heads)
        return self


class _Recurrent(_OneWidth):
    """Base of encoders that end in a recurrent network."""

    cell: Literal["gru", "lstm"] = Field("gru", description="the kind of recurrent network")
    layers: Positive = Field(1, description="recurrent layers, one on top of the other")
    bidirectional: bool = Field(True, description="read both ways; each direction has half of the width")
    pool: Literal["last", "mean"] = Field("last", description="pooled vector: the last states, or the mean over time")
    dropout: Dropout = 0.1

    @model_validator(mode="after")
    def _even_width(self) -> _Recurrent:
        if self.bidirectional and self.width % 2:
            message = f"Two directions cannot share a width of {self.width}: give 'width: {self.width + 1}'"
            raise errors_at("encoder", [(("width",), message)])
        return self


class BagEncoderConfig(_OneWidth):
    """Averages token embeddings, whatever their order; the fastest encoder for text."""

    type: Literal["bag"] = "bag"
    reads: ClassVar = ("tokens",)
    layers: Annotated[int, Field(ge=0)] = Field(1, description="hidden layers between the mean and the pooled vector")
    dropout: Dropout = 0.1

    def build(self, format: Format) -> Encoder:
        from mmsdk.builtin.encoders.bag import BagEncoder

        return BagEncoder(format, self.width, layers=self.layers, dropout=self.dropout)


class TransformerEncoderConfig(_Attentive):
    """Lets every token attend to every other one (Vaswani et al. 2017)."""

    type: Literal["transformer"] = "transformer"
    reads: ClassVar = ("tokens", "sequence")

    def build(self, format: Format) -> Encoder:
        from mmsdk.builtin.encoders.transformer import TransformerEncoder

        return TransformerEncoder(format, self.width, layers=self.layers, heads=self.heads, dropout=self.dropout)


class RnnEncoderConfig(_Recurrent):
    """Reads step by step with a GRU or an LSTM."""

    type: Literal["rnn"] = "rnn"
    reads: ClassVar = ("tokens", "sequence")

    def build(self, format: Format) -> Encoder:
        from mmsdk.builtin.encoders.rnn import RnnEncoder

        return RnnEncoder(
            format,
            self.width,
            cell=self.cell,
            layers=self.layers,
            bidirectional=self.bidirectional,
            pool=self.pool,
            dropout=self.dropout,
        )


class CnnRnnEncoderConfig(_Recurrent):
    """Convolves over time, which can shorten long inputs, then reads the result with a GRU or an LSTM."""

    type: Literal["cnn_rnn"] = "cnn_rnn"
    reads: ClassVar = ("tokens", "sequence")
    convolutions: Positive = Field(2, description="layers of convolution before the recurrent network")
    kernel: Positive = Field(3, description="steps that a convolution looks at; an odd number")
    stride: Positive = Field(1, description="of each convolution: 2 halves the length each time")

    @model_validator(mode="after")
    def _odd_kernel(self) -> CnnRnnEncoderConfig:
        if self.kernel % 2 == 0:
            message = f"A kernel of {self.kernel} steps has no middle: give 'kernel: {self.kernel + 1}'"
            raise errors_at("encoder", [(("kernel",), message)])
        return self

    def build(self, format: Format) -> Encoder:
        from mmsdk.builtin.encoders.cnn_rnn import CnnRnnEncoder

        return CnnRnnEncoder(
            format,
            self.width,
            convolutions=self.convolutions,
            kernel=self.kernel,
            stride=self.stride,
            cell=self.cell,
            layers=self.layers,
            bidirectional=self.bidirectional,
            pool=self.pool,
            dropout=self.dropout,
        )


class CnnEncoderConfig(_OneWidth):
    """Convolves an image into a grid of tokens; small and quick to train from nothing."""

    type: Literal["cnn"] = "cnn"
    reads: ClassVar = ("pixels",)
    layers: Positive = Field(3, description="each halves the grid, as long as 4x4 tokens remain")
    halving: Literal["stride", "maximum"] = Field(
        "stride", description="stride: skip every other place; maximum: keep the largest of each 2x2, which is slower"
    )

    def build(self, format: Format) -> Encoder:
        from mmsdk.builtin.encoders.cnn import CnnEncoder

        return CnnEncoder(format, self.width, layers=self.layers, halving=self.halving)


class VitEncoderConfig(_Attentive):
    """Cuts an image into patches that attend to each other (Dosovitskiy et al. 2021)."""

    type: Literal["vit"] = "vit"
    reads: ClassVar = ("pixels",)
    patch: Positive = Field(8, description="side of a patch in pixels; must divide height and width of the image")

    def build(self, format: Format) -> Encoder:
        from mmsdk.builtin.encoders.vit import VitEncoder

        return VitEncoder(
            format, self.width, patch=self.patch, layers=self.layers, heads=self.heads, dropout=self.dropout
        )


class MlpEncoderConfig(_OneWidth):
    """Sends each row of a table, or each step of a sequence, through the same fully connected layers."""

    type: Literal["mlp"] = "mlp"
    reads: ClassVar = ("sequence", "table")
    hidden: Positive = Field(128, description="width of the hidden layers")
    layers: Positive = Field(2, description="hidden layers")
    dropout: Dropout = 0.1

    def build(self, format: Format) -> Encoder:
        from mmsdk.builtin.encoders.mlp import MlpEncoder

        return MlpEncoder(format, self.width, hidden=self.hidden, layers=self.layers, dropout=self.dropout)


ENCODERS: list[type[EncoderConfig]] = [
    BagEncoderConfig,
    TransformerEncoderConfig,
    RnnEncoderConfig,
    CnnRnnEncoderConfig,
    CnnEncoderConfig,
    VitEncoderConfig,
    MlpEncoderConfig,
]
