"""The hooks. No torch here."""

from __future__ import annotations

from mmsdk import EncoderConfig, ModalityConfig, hookimpl
from mmsdk_transformers.declarations import (
    AudioConfig,
    ImageConfig,
    TextConfig,
    TokensConfig,
    VideoConfig,
    VisionConfig,
)


@hookimpl
def mmsdk_modalities() -> list[type[ModalityConfig]]:
    return [TokensConfig, ImageConfig]


@hookimpl
def mmsdk_encoders() -> list[type[EncoderConfig]]:
    return [TextConfig, VisionConfig, AudioConfig, VideoConfig]
