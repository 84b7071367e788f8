"""Declarations and hooks. No torch here: `build` imports it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from mmsdk import AnyEncoder, Dropout, EncoderConfig, Format, ModalityConfig, Proposal, hookimpl

if TYPE_CHECKING:
    from mmsdk import Column, Encoder, Modality

Positive = Annotated[int, Field(gt=0, strict=True)]
Side = Annotated[int, Field(gt=0, le=4096)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(gt=0, le=3600)]

FRAMES = 8


SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi")


class _Part(ModalityConfig):
    """Base of what is read of a video file: the part of it that is read, in seconds."""

    type: str  # here already, so that it stays the first field of every subclass
    start: float = Field(0.0, ge=0, le=86_400, description="in seconds: where in the file to begin")
    seconds: Seconds | None = Field(None, description="how much to read from there; by default all that follows")
    max_seconds: Seconds = Field(60.0, description="without `seconds`: what lasts longer is refused, not cut")


class ClipConfig(_Part):
    """Frames of videos: MP4, MOV, MKV, WebM and AVI files, or their bytes.

    The fields from `shift` on vary the clips at random, in training only.
    """

    type: Literal["video.clip"] = "video.clip"
    gives: ClassVar[str] = "frames"

    frames: Annotated[int, Field(gt=0, le=4096)] | None = Field(
        None, description=f"how many, spread evenly over the clip; {FRAMES} where there is no `rate` either"
    )
    rate: float | None = Field(None, gt=0, le=240, description="instead of `frames`: how many per second")
    size: Side | tuple[Side, Side] = Field(64, description="in pixels: of a square, or [height, width]")
    resize: Literal["stretch", "crop"] = Field(
        "stretch", description="stretch: to the size; crop: keep the proportions and cut off what sticks out"
    )
    max_frames: Positive = Field(3_600, description="what has more frames to decode, or to take, is refused")
    max_pixels: Positive = Field(8_847_360, description="what has larger frames is refused")
    shift: Fraction = Field(0.0, description="at most this share of the size, in each direction")
    flip: bool = Field(False, description="mirror every other clip, left to right")
    noise: float = Field(0.0, ge=0, description="standard deviation, where black is 0 and white is 1")
    brightness: Fraction = Field(0.0, description="lighter or darker by at most this share")

    @field_validator("rate")
    @classmethod
    def _one_of_both(cls, rate: float | None, info: ValidationInfo) -> float | None:
        if rate is not None and info.data.get("frames") is not None:
            raise ValueError("give 'frames', so many of each clip, or 'rate', so many per second, not both")
        return rate

    @classmethod
    def recognises(cls, column: Column) -> Proposal | None:
        return _proposed(column, 0.9, {"frames": FRAMES})

    def build(self) -> Modality:
        from mmsdk_video.clip import Clips

        options = self.model_dump(exclude={"type"})
        if self.rate is None:
            options["frames"] = self.frames or FRAMES
        return Clips(**options)


class SoundConfig(_Part):
    """The sound track of videos, for any encoder of waveforms: MP4, MOV, MKV, WebM and AVI files, or their bytes."""

    type: Literal["video.sound"] = "video.sound"
    gives: ClassVar[str] = "waveform"

    rate: int = Field(16_000, ge=1_000, le=192_000, description="samples per second that all sounds are brought to")

    @classmethod
    def recognises(cls, column: Column) -> Proposal | None:
        return _proposed(column, 0.5, {})  # the pictures first

    def build(self) -> Modality:
        from mmsdk_video.sound import Sounds

        return Sounds(**self.model_dump(exclude={"type"}))


def _proposed(column: Column, confidence: float, settings: dict[str, Any]) -> Proposal | None:
    """For paths of videos; `max_seconds` as a few of them need it."""
    share = column.share(*SUFFIXES)
    if share < 0.5:
        return None
    from mmsdk_video.files import lengths

    longest = max(lengths(column.files()), default=0.0)
    if longest > 20:  # others may be three times as long
        settings = settings | {"max_seconds": min(3.0 * round(longest), 3600.0)}
    note = f"videos of up to {longest:.3g} seconds" if longest else "none could be measured"
    return Proposal(confidence * share, settings, note=note)


class _Video(EncoderConfig):
    """Base of the encoders of frames."""

    type: str  # here already, so that it stays the first field of every subclass
    reads: ClassVar[tuple[str, ...]] = ("frames",)

    width: int = Field(128, gt=0, le=16_384, multiple_of=2, description="of the tokens and of the pooled vector")
    dropout: Dropout = Field(0.0, description="against overfitting; it can hide motion, which is a small difference")

    def widths(self) -> tuple[int, int]:
        return self.width, self.width


class FramesConfig(_Video):
    """Encodes each frame by an image encoder, then reads them in their order."""

    type: Literal["video.frames"] = "video.frames"

    image: AnyEncoder = Field("cnn", validate_default=True, description="any encoder that reads `pixels`")
    temporal: Literal["transformer", "rnn"] = Field(
        "transformer", description="transformer: every frame attends to every other one; rnn: a GRU reads both ways"
    )
    layers: Positive = Field(1, description="of the transformer or the rnn")
    heads: Positive = Field(4, description="attention heads of the transformer; they share the width evenly")

    @field_validator("image")
    @classmethod
    def _reads_pixels(cls, image: EncoderConfig) -> EncoderConfig:
        if "pixels" not in image.reads:
            read = ", ".join(f"'{kind}'" for kind in image.reads)
            raise ValueError(f"'{image.type_name()}' reads {read}: give an encoder of 'pixels', such as 'cnn' or 'vit'")
        return image

    @field_validator("heads")
    @classmethod
    def _even_heads(cls, heads: int, info: ValidationInfo) -> int:
        width = info.data.get("width", heads)
        if info.data.get("temporal") == "transformer" and width % heads:
            best = max(each for each in range(1, min(heads, width)) if width % each == 0)
            raise ValueError(f"{heads} heads cannot share a width of {width} evenly: give 'heads: {best}'")
        return heads

    def build(self, format: Format) -> Encoder:
        from mmsdk_video.frames import Frames

        return Frames(
            self.image.build(Format("pixels", sizes=format.sizes)),
            self.width,
            temporal=self.temporal,
            layers=self.layers,
            heads=self.heads,
            dropout=self.dropout,
        )


class Conv3dConfig(_Video):
    """Convolves over space, then over time, layer by layer (Tran et al. 2018); sees what moves, and how."""

    type: Literal["video.conv3d"] = "video.conv3d"
    layers: int = Field(3, gt=0, le=8, description="each halves the grid, as long as 4x4 places remain")
    halvings: int = Field(0, ge=0, le=8, description="how many of the layers, the last ones, halve the length, too")

    @field_validator("halvings")
    @classmethod
    def _layers_enough(cls, halvings: int, info: ValidationInfo) -> int:
        layers = info.data.get("layers", halvings)
        if halvings > layers:
            raise ValueError(f"{layers} layers cannot halve the length {halvings} times: give 'halvings: {layers}'")
        return halvings

    def build(self, format: Format) -> Encoder:
        from mmsdk_video.conv3d import Conv3d

        return Conv3d(format.sizes, self.width, layers=self.layers, halvings=self.halvings, dropout=self.dropout)


@hookimpl
def mmsdk_modalities() -> list[type[ModalityConfig]]:
    return [ClipConfig, SoundConfig]


@hookimpl
def mmsdk_encoders() -> list[type[EncoderConfig]]:
    return [FramesConfig, Conv3dConfig]
