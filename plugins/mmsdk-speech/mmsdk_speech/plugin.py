"""Declarations and hooks. No torch here: `build` imports it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from mmsdk import Dropout, EncoderConfig, Format, ModalityConfig, Proposal, hookimpl

if TYPE_CHECKING:
    from mmsdk import Column, Encoder, Modality
    from mmsdk_speech.features import LogMel
    from mmsdk_speech.layers import Spectrogram
    from mmsdk_speech.masking import SpecAugment

Positive = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0, le=100)]
Share = Annotated[float, Field(ge=0, le=1)]


class WaveformConfig(ModalityConfig):
    """Sounds: WAV, FLAC, OGG and MP3 files, their bytes, or `{samples: [...], rate: ...}`.

    The fields from `speed` on vary the sounds at random, in training only.
    """

    type: Literal["speech.waveform"] = "speech.waveform"
    gives: ClassVar[str] = "waveform"

    rate: int = Field(16_000, ge=1_000, le=192_000, description="samples per second that all sounds are brought to")
    max_seconds: float = Field(30.0, gt=0, le=3600, description="what lasts longer is refused before it is decoded")
    trim: float | None = Field(
        None, gt=0, description="cut both ends off as far as they are this many decibels below the loudest moment"
    )
    speed: float = Field(0.0, ge=0, le=0.5, description="faster or slower, with the pitch, by at most this share")
    shift: float = Field(0.0, ge=0, le=10, description="earlier or later by at most this many seconds")
    noise: tuple[float, float] | None = Field(
        None, description="white noise: [lowest, highest] ratio of sound to noise, in decibels"
    )
    gain: float = Field(0.0, ge=0, le=20, description="louder or quieter by at most this many decibels")

    @field_validator("noise")
    @classmethod
    def _in_order(cls, noise: tuple[float, float] | None) -> tuple[float, float] | None:
        if noise is not None and not -20 <= noise[0] <= noise[1] <= 100:
            raise ValueError(f"expected [lowest, highest] within -20 to 100 decibels, found {list(noise)}")
        return noise

    @classmethod
    def recognises(cls, column: Column) -> Proposal | None:
        share = column.share(".wav", ".flac", ".ogg", ".mp3")
        if share < 0.5:
            return None
        from mmsdk_speech.decoding import measured

        rates, lengths = measured(column.files())
        settings: dict[str, Any] = {"rate": min(max(rates), 16_000)} if rates else {}
        longest = max(lengths, default=0.0)
        if longest > 10:  # of a few; others may be three times as long
            settings["max_seconds"] = min(3.0 * round(longest), 3600.0)
        encoder = "speech.cnn" if longest <= 2 else "speech.crnn"
        note = f"sounds of up to {longest:.3g} seconds, {max(rates):,} samples a second" if rates else ""
        return Proposal(0.9 * share, settings, {"speed": 0.1}, {"type": encoder}, note)

    def build(self) -> Modality:
        from mmsdk_speech.waveform import Waveform

        return Waveform(**self.model_dump(exclude={"type"}))


class FeaturesConfig(BaseModel):
    """What the encoder sees of a waveform: numbers per frame of time."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["log_mel", "mfcc", "fbank"] = Field(
        "log_mel", description="log_mel: logarithms of mel bins; mfcc: cepstral coefficients; fbank: as Kaldi has them"
    )
    bins: int = Field(40, gt=0, le=512, description="mel bins")
    coefficients: int = Field(13, gt=0, le=512, description="of mfcc")
    window: float = Field(0.025, gt=0, le=1, description="length of a frame, in seconds")
    step: float = Field(0.010, gt=0, le=1, description="from one frame to the next, in seconds")
    low: float = Field(20.0, ge=0, description="in Hz: where the lowest bin begins")
    high: float | None = Field(None, gt=0, description="in Hz: where the highest bin ends; by default half of the rate")
    dynamic_range: float | None = Field(
        None, gt=0, description="in decibels: what is further below the loudest moment and bin is raised to that"
    )
    normalize: bool = Field(True, description="per sound: mean 0 of each bin, standard deviation 1 of all")

    def build(self, format: Format) -> LogMel:
        from mmsdk_speech.features import Fbank, LogMel, Mfcc

        assert format.rate is not None
        options = self.model_dump(include={"bins", "window", "step", "low", "high", "dynamic_range"})
        if self.type == "mfcc":
            return Mfcc(format.rate, coefficients=self.coefficients, **options)
        return (LogMel if self.type == "log_mel" else Fbank)(format.rate, **options)


class SpecAugmentConfig(BaseModel):
    """Hides stretches of time and bands of frequency at random, in training only."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    time_masks: Count = Field(2, description="stretches of time that are hidden")
    time: Share = Field(0.2, description="longest stretch of time that is hidden, as a share of the sound")
    frequency_masks: Count = Field(2, description="bands of frequency that are hidden")
    frequency: Share = Field(0.2, description="widest band that is hidden, as a share of the bins")
    warp: float = Field(0.0, ge=0, le=0.5, description="stretch the frequency axis by at most this share")

    def build(self) -> SpecAugment:
        from mmsdk_speech.masking import SpecAugment

        return SpecAugment(**self.model_dump())


class _Speech(EncoderConfig):
    """Base of the encoders of waveforms."""

    type: str  # here already, so that it stays the first field of every subclass
    reads: ClassVar[tuple[str, ...]] = ("waveform",)

    width: int = Field(128, gt=0, le=16_384, multiple_of=2, description="of the tokens and of the pooled vector")
    dropout: Dropout = 0.1
    halving: Literal["stride", "maximum"] = Field(
        "stride", description="stride: skip every other place; maximum: keep the larger of each two, which is slower"
    )
    features: FeaturesConfig = Field(FeaturesConfig(), description="what the encoder makes of the waveform first")
    spec_augment: SpecAugmentConfig | None = Field(None, description="hide bands and spans of the features in training")

    def widths(self) -> tuple[int, int]:
        return self.width, self.width

    def spectrogram(self, format: Format) -> Spectrogram:
        from mmsdk_speech.layers import Spectrogram

        augment = self.spec_augment.build() if self.spec_augment is not None else None
        return Spectrogram(self.features.build(format), self.features.normalize, augment)


class CnnConfig(_Speech):
    """Convolves a spectrogram; the fastest encoder for short sounds."""

    type: Literal["speech.cnn"] = "speech.cnn"
    layers: int = Field(3, gt=0, le=8, description="each halves time and frequency")

    def build(self, format: Format) -> Encoder:
        from mmsdk_speech.encoders import Cnn

        return Cnn(self.spectrogram(format), self.width, layers=self.layers, dropout=self.dropout, halving=self.halving)


class CrnnConfig(_Speech):
    """Convolves a spectrogram, then reads it both ways with a GRU."""

    type: Literal["speech.crnn"] = "speech.crnn"
    convolutions: int = Field(3, gt=0, le=8, description="each halves the frequency, the first one the time, too")
    layers: Positive = Field(1, description="of the GRU")

    def build(self, format: Format) -> Encoder:
        from mmsdk_speech.encoders import Crnn

        return Crnn(
            self.spectrogram(format),
            self.width,
            convolutions=self.convolutions,
            layers=self.layers,
            dropout=self.dropout,
            halving=self.halving,
        )


class TransformerConfig(_Speech):
    """Shortens a spectrogram to a quarter of its frames, which then attend to each other."""

    type: Literal["speech.transformer"] = "speech.transformer"
    layers: Positive = Field(2, description="blocks of self-attention")
    heads: Positive = Field(4, description="attention heads; they share the width evenly")

    @field_validator("heads")
    @classmethod
    def _even_heads(cls, heads: int, info: ValidationInfo) -> int:
        width = info.data.get("width", heads)
        if width % heads:
            best = max(each for each in range(1, min(heads, width)) if width % each == 0)
            raise ValueError(f"{heads} heads cannot share a width of {width} evenly: give 'heads: {best}'")
        return heads

    def build(self, format: Format) -> Encoder:
        from mmsdk_speech.encoders import Transformer

        return Transformer(
            self.spectrogram(format),
            self.width,
            layers=self.layers,
            heads=self.heads,
            dropout=self.dropout,
            halving=self.halving,
        )


@hookimpl
def mmsdk_modalities() -> list[type[ModalityConfig]]:
    return [WaveformConfig]


@hookimpl
def mmsdk_encoders() -> list[type[EncoderConfig]]:
    return [CnnConfig, CrnnConfig, TransformerConfig]
