"""Declarations of the modalities and the encoders. No torch here: `build` and `resolve` import what they need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from mmsdk import EncoderConfig, Format, ModalityConfig
from mmsdk_transformers.facts import Channels, longest_text, normalization, preprocessor, temperature
from mmsdk_transformers.lora import LoraConfig
from mmsdk_transformers.scrubbing import scrubbed
from mmsdk_transformers.source import ModelName, ModelSource, Revision

if TYPE_CHECKING:
    from mmsdk import Encoder, Modality

Positive = Annotated[int, Field(gt=0)]


class TokensConfig(ModalityConfig):
    """Text, cut into tokens by the tokenizer that belongs to a model."""

    type: Literal["transformers.tokens"] = "transformers.tokens"
    gives: ClassVar[str] = "tokens"
    targets: ClassVar[bool] = True

    model: ModelName
    revision: Revision | None = Field(None, description="branch, tag or commit of the hub; kept as a commit")
    special: bool = Field(True, description="false: without the tokenizer's own tokens, as texts to be written want it")
    max_length: Positive | None = Field(
        None, description="in tokens; longer texts lose their end; by default what the model takes, at most 512"
    )

    def resolve(self) -> Self:
        source = ModelSource(self.model, self.revision).pinned()
        return self.model_copy(
            update={"revision": source.revision, "max_length": self.max_length or longest_text(source)}
        )

    def build(self) -> Modality:
        from mmsdk_transformers.tokens import Tokens

        source = ModelSource(self.model, self.revision)
        if self.max_length is None:
            source.require_here("max_length")
        return Tokens(source, self.max_length or longest_text(source), self.special)


class ImageConfig(ModalityConfig):
    """Images, resized and cropped as a model's own image processor does it; the encoder normalises them."""

    type: Literal["transformers.image"] = "transformers.image"
    gives: ClassVar[str] = "pixels"

    model: ModelName | None = Field(None, description="a folder or a hub id; by default that of the encoder")
    revision: Revision | None = Field(None, description="branch, tag or commit of the hub; kept as a commit")
    processor: dict[str, Any] | None = Field(
        None, description="settings of an image processor, with `image_processor_type`; by default the model's own"
    )

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.model is None and self.processor is None:
            raise ValueError("needs 'model: <folder or hub id>', or 'processor: {image_processor_type: ...}'")
        return self

    def resolve(self) -> Self:
        if self.processor is not None or self.model is None:
            return self
        source = ModelSource(self.model, self.revision).pinned()
        found = preprocessor(source)
        former = str(found.get("feature_extractor_type", "")).replace("FeatureExtractor", "ImageProcessor")
        named = {"image_processor_type": found.get("image_processor_type") or former}
        return self.model_copy(update={"revision": source.revision, "processor": found | named})

    def build(self) -> Modality:
        from mmsdk_transformers.images import Image

        if self.processor is None and self.model is not None:
            ModelSource(self.model).require_here("processor")
        settings = self.resolve().processor
        assert settings is not None
        return Image(scrubbed(settings))


class _Pretrained(EncoderConfig):
    """Base of the encoders: what they share, and what `resolve` finds out about a model."""

    type: str  # here already, so that it stays the first field of every subclass

    model: ModelName | None = Field(
        None, description="a folder, relative to the config file's, or a hub id; or give `architecture`"
    )
    revision: Revision | None = Field(None, description="branch, tag or commit of the hub; kept as a commit")
    pretrained: bool = Field(True, description="false: random weights, of the same architecture")
    architecture: dict[str, Any] | None = Field(
        None, description="a config of transformers with `model_type`; by default the model's own"
    )
    pooling: Literal["mean", "cls", "last", "pooler"] | None = Field(
        None, description="of the tokens; by default a CLIP-like model's own embedding, else mean"
    )
    lora: LoraConfig | None = Field(None, description="train adapters instead of the model itself")
    temperature: float | None = Field(
        None, gt=0, description="at which CLIP-like models were trained; by default the model's own"
    )

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.model is None and self.architecture is None:
            raise ValueError(
                "needs 'model: <folder or hub id>', or 'architecture: {model_type: ...}' for random weights"
            )
        return self

    def resolve(self) -> Self:
        if self.model is None or self.architecture is not None:
            return self
        source = ModelSource(self.model, self.revision).pinned()
        update = {"architecture": scrubbed(source.json("config.json")), "revision": source.revision}
        if self.pretrained and self.temperature is None:
            update["temperature"] = temperature(source, self.reads[0])
        return self.model_copy(update=update | self.found(source))

    def resolved_here(self) -> Self:
        """`resolve`, but that the hub is not asked."""
        if self.architecture is None and self.model is not None:
            ModelSource(self.model).require_here("architecture")
        return self.resolve()

    def found(self, source: ModelSource) -> dict[str, Any]:
        """What else the source tells, by field."""
        return {}

    def options(self) -> dict[str, Any]:
        """The arguments that all implementations take; to be asked of a resolved config."""
        source = ModelSource(self.model, self.revision) if self.model is not None and self.pretrained else None
        return {
            "architecture": self.architecture,
            "source": source,
            "pooling": self.pooling,
            "adapters": self.lora.build() if self.lora is not None else None,
            "temperature": self.temperature,
        }


class TextConfig(_Pretrained):
    """A language model, or the text tower of a CLIP-like model.

    For ids of `transformers.tokens` with the same model: those of another tokenizer would mean other words.
    """

    type: Literal["transformers.text"] = "transformers.text"
    reads: ClassVar[tuple[str, ...]] = ("tokens",)

    def build(self, format: Format) -> Encoder:
        from mmsdk_transformers.text import Text

        return Text(format.vocabulary, **self.resolved_here().options())


class _Seeing(_Pretrained):
    """Base of the encoders of pixels."""

    mean: Channels | None = Field(
        None, description="per channel, taken away from pixels 0..1; by default the model's own"
    )
    std: Channels | None = Field(None, description="per channel, divided by; by default the model's own")

    def found(self, source: ModelSource) -> dict[str, Any]:
        if self.mean is not None and self.std is not None:
            return {}
        mean, std = normalization(preprocessor(source))
        return {"mean": self.mean or mean, "std": self.std or std}

    def options(self) -> dict[str, Any]:
        colours = {"mean": self.mean, "std": self.std}
        return super().options() | {key: value for key, value in colours.items() if value is not None}


class VisionConfig(_Seeing):
    """A vision model, or the image tower of a CLIP-like model; normalises the pixels itself."""

    type: Literal["transformers.vision"] = "transformers.vision"
    reads: ClassVar[tuple[str, ...]] = ("pixels",)

    def build(self, format: Format) -> Encoder:
        from mmsdk_transformers.vision import Vision

        return Vision(format, **self.resolved_here().options())


class VideoConfig(_Seeing):
    """A model of video, such as VideoMAE; takes as many frames as that wants, evenly spread."""

    type: Literal["transformers.video"] = "transformers.video"
    reads: ClassVar[tuple[str, ...]] = ("frames",)

    def build(self, format: Format) -> Encoder:
        from mmsdk_transformers.vision import Video

        return Video(format, **self.resolved_here().options())


class AudioConfig(_Pretrained):
    """A model of speech or of sounds (wav2vec2 and its kin, Whisper's encoder, AST), or the audio tower of CLAP."""

    type: Literal["transformers.audio"] = "transformers.audio"
    reads: ClassVar[tuple[str, ...]] = ("waveform",)

    extractor: dict[str, Any] | None = Field(
        None, description="settings of the model's feature extractor; by default the model's own"
    )

    def found(self, source: ModelSource) -> dict[str, Any]:
        return {} if self.extractor is not None else {"extractor": preprocessor(source)}

    def build(self, format: Format) -> Encoder:
        from mmsdk_transformers.audio import Audio

        resolved = self.resolved_here()
        return Audio(format.rate, extractor=scrubbed(resolved.extractor or {}), **resolved.options())
