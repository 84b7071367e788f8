"""The core's own components, through the same four hooks as anybody's."""

from __future__ import annotations

from mmsdk.builtin.declarations.captioning import WRITERS
from mmsdk.builtin.declarations.each import EachEncoderConfig, EachModalityConfig
from mmsdk.builtin.declarations.encoders import ENCODERS
from mmsdk.builtin.declarations.fusions import FUSIONS
from mmsdk.builtin.declarations.heads import HEADS
from mmsdk.builtin.declarations.modalities import MODALITIES
from mmsdk.builtin.declarations.targets import TARGETS
from mmsdk.components import EncoderConfig, FusionConfig, HeadConfig, ModalityConfig
from mmsdk.hookspecs import hookimpl


@hookimpl
def mmsdk_modalities() -> list[type[ModalityConfig]]:
    return [*MODALITIES, EachModalityConfig, *TARGETS]


@hookimpl
def mmsdk_encoders() -> list[type[EncoderConfig]]:
    return [*ENCODERS, EachEncoderConfig]


@hookimpl
def mmsdk_fusions() -> list[type[FusionConfig]]:
    return FUSIONS


@hookimpl
def mmsdk_heads() -> list[type[HeadConfig]]:
    return [*HEADS, *WRITERS]
