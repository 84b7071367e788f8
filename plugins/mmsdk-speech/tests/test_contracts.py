"""The contracts of mmsdk, for the plugin and all its components."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmsdk.testing import EncoderContract, ModalityContract, PluginContract
from mmsdk_speech.plugin import (
    CnnConfig,
    CrnnConfig,
    FeaturesConfig,
    SpecAugmentConfig,
    TransformerConfig,
    WaveformConfig,
)


def noise(length: int, seed: int) -> dict[str, Any]:
    """A sound that swells and fades."""
    samples = 0.2 * np.random.default_rng(seed).standard_normal(length) * np.sin(np.linspace(0.1, 3, length))
    return {"samples": samples.astype(np.float32), "rate": 8_000}


class TestPlugin(PluginContract):
    prefix = "speech"


class TestWaveform(ModalityContract):
    config = WaveformConfig(rate=16_000, max_seconds=1, trim=30, speed=0.2, shift=0.01, noise=(5, 20), gain=6)
    values = (noise(900, 0), noise(2_500, 1), {"samples": [[0.5, -0.5], [0.25, 0.5]], "rate": 16_000})
    bad_values = (
        "missing.wav",
        b"no sound",
        3,
        {"samples": [0.1]},
        {"samples": [float("nan")], "rate": 8_000},
        noise(8_001, 0),
    )


class Sounds(EncoderContract):
    """Among them silence, and a sound that is shorter than a frame."""

    modality = WaveformConfig(rate=8_000)
    values = (noise(2_600, 0), noise(120, 1), {"samples": np.zeros(900), "rate": 8_000}, noise(1_701, 2))


class TestCnn(Sounds):
    config = CnnConfig(width=8, dropout=0, spec_augment=SpecAugmentConfig(warp=0.1))
    exports = True


class TestCnnOfLargest(Sounds):
    config = CnnConfig(width=8, dropout=0, halving="maximum")
    exports = True


class TestCrnn(Sounds):
    config = CrnnConfig(width=8, dropout=0, halving="maximum", features=FeaturesConfig(type="mfcc"))


class TestTransformer(Sounds):
    config = TransformerConfig(width=8, heads=2, dropout=0, features=FeaturesConfig(type="fbank"))
    exports = True
