"""The hooks. No torch here."""

from __future__ import annotations

from mmsdk import EncoderConfig, HeadConfig, ModalityConfig, hookimpl
from mmsdk_transformers.declarations import (
    AudioConfig,
    ImageConfig,
    TextConfig,
    TokensConfig,
    VideoConfig,
    VisionConfig,
)
from mmsdk_transformers.writing import LanguageModelConfig


@hookimpl
def mmsdk_modalities() -> list[type[ModalityConfig]]:
    return [TokensConfig, ImageConfig]


@hookimpl
def mmsdk_encoders() -> list[type[EncoderConfig]]:
    return [TextConfig, VisionConfig, AudioConfig, VideoConfig]


@hookimpl
def mmsdk_heads() -> list[type[HeadConfig]]:
    return [LanguageModelConfig]
