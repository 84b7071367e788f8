"""The whole extension story: four hooks, each returning config classes.

A plugin is a pip package with one entry point in the group `mmsdk.v1`. The entry point's name is the prefix of every
component that the plugin brings, its value a module that holds declarations and hooks, and imports no torch:

    [project.entry-points."mmsdk.v1"]
    speech = "mmsdk_speech.plugin"          # brings speech.waveform, speech.crnn, ...

    from mmsdk import hookimpl

    @hookimpl
    def mmsdk_encoders():
        return [CRNNConfig]

Hooks return things; they do not call back. mmsdk's own components come through the same four hooks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from mmsdk.components import EncoderConfig, FusionConfig, HeadConfig, ModalityConfig

hookspec = pluggy.HookspecMarker("mmsdk")
hookimpl = pluggy.HookimplMarker("mmsdk")


@hookspec
def mmsdk_modalities() -> Iterable[type[ModalityConfig]]:  # type: ignore[empty-body]
    """Kinds of raw values: how they are read, fitted, augmented and collated."""


@hookspec
def mmsdk_encoders() -> Iterable[type[EncoderConfig]]:  # type: ignore[empty-body]
    """Networks that turn one kind of tensors into an Encoding."""


@hookspec
def mmsdk_fusions() -> Iterable[type[FusionConfig]]:  # type: ignore[empty-body]
    """Strategies that join streams: feature level (Encodings) and decision level (scores)."""


@hookspec
def mmsdk_heads() -> Iterable[type[HeadConfig]]:  # type: ignore[empty-body]
    """Tasks: a loss, predictions and metrics."""
