"""What every component promises, promised by these four and by the plugin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest

from mmsdk.testing import EncoderContract, ModalityContract, PluginContract
from mmsdk_video.plugin import ClipConfig, Conv3dConfig, FramesConfig, SoundConfig

BAD: list[Any] = [3, "nowhere.mp4", b"", b"text", b"\0\0\0\x18ftypmp42", ["a"], {"samples": [0.0], "rate": 8000}]


class Movies:
    """Two short files of different lengths, with pictures and sound, as the values of a contract."""

    values: ClassVar[Any]

    @pytest.fixture(autouse=True)
    def _movies(self, movie: Callable[..., bytes]) -> None:
        rng = np.random.default_rng(0)
        files = []
        for length, format in ((6, "avi"), (3, "mp4")):
            pictures = rng.integers(0, 256, (length, 16, 24, 3), dtype=np.uint8)
            sound = 0.3 * rng.standard_normal(length * 1_000).astype(np.float32)
            files.append(movie(pictures, sound, format=format, rate=8_000))
        type(self).values = files


class TestPlugin(PluginContract):
    prefix = "video"


class TestClip(Movies, ModalityContract):
    config = ClipConfig(size=(12, 8), rate=8.0, shift=0.2, flip=True, noise=0.1, brightness=0.1)
    bad_values = BAD


class TestClipOfSoManyFrames(Movies, ModalityContract):
    config = ClipConfig(size=8, frames=3, resize="crop", start=0.1, seconds=0.25)
    bad_values = BAD


class TestSound(Movies, ModalityContract):
    config = SoundConfig(rate=4_000)
    bad_values = BAD


class TestFramesTransformer(Movies, EncoderContract):
    config = FramesConfig(width=8, image={"type": "cnn", "width": 8}, heads=2, dropout=0.0)
    modality = ClipConfig(size=16, rate=8.0)


class TestFramesRnn(Movies, EncoderContract):
    config = FramesConfig(width=8, image={"type": "vit", "width": 8, "heads": 2}, temporal="rnn", layers=2, dropout=0.0)
    modality = ClipConfig(size=16, rate=8.0)


class TestConv3d(Movies, EncoderContract):
    config = Conv3dConfig(width=8, layers=2, dropout=0.0)
    modality = ClipConfig(size=16, rate=8.0)


class TestConv3dThatHalvesTheLength(Movies, EncoderContract):
    config = Conv3dConfig(width=8, layers=3, halvings=2, dropout=0.0)
    modality = ClipConfig(size=(12, 16), rate=8.0)
