"""`speech.waveform`: sounds as samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mmsdk import Corruption, DecodeError, Format, Inputs, Modality
from mmsdk_speech.decoding import Samples, sound_of
from mmsdk_speech.editing import faster, interrupted, moved, noisy, quieter, resampled, trimmed

FULL_SCALE = np.float32(2**15)
"""Of 16 bits."""


class Waveform(Modality):
    """Sounds, mixed to mono and brought to one rate.

    Kind "waveform": samples [n, time] float32, where 1 is full scale, and mask [n, time] bool. An item is [time].
    """

    reads_files = True

    def __init__(
        self,
        rate: int = 16_000,
        max_seconds: float = 30.0,
        trim: float | None = None,
        speed: float = 0.0,
        shift: float = 0.0,
        gain: float = 0.0,
        noise: tuple[float, float] | None = None,
    ) -> None:
        self.rate, self.max_seconds, self.trim = rate, max_seconds, trim
        self.speed, self.shift, self.gain, self.noise = speed, shift, gain, noise

    @property
    def format(self) -> Format:
        return Format("waveform", rate=float(self.rate))

    def prepare(self, value: Any) -> Samples:
        """A path, the bytes of a file, or a mapping with "samples" and "rate"."""
        sound = sound_of(value, self.max_seconds)
        samples = resampled(sound.samples, sound.rate, self.rate)
        if not len(samples):
            raise DecodeError(f"the sound is shorter than one sample at {self.rate} per second")
        return samples if self.trim is None else trimmed(samples, self.rate, self.trim)

    def pack(self, item: Samples) -> Mapping[str, NDArray[Any]]:
        """As 16 bits where that is what they are: mono sound of 16 bits that was not resampled."""
        short = (item * FULL_SCALE).clip(-FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
        return {"samples": short if np.array_equal(_unpacked(short), item) else item}

    def unpack(self, arrays: Mapping[str, NDArray[Any]]) -> Samples:
        samples = arrays["samples"]
        return _unpacked(samples) if samples.dtype == np.int16 else samples

    def blank(self) -> Samples:
        return np.zeros(1, dtype=np.float32)

    @property
    def augments(self) -> bool:
        return bool(self.speed or self.shift or self.gain or self.noise is not None)

    def augment(self, item: Samples, rng: np.random.Generator) -> Samples:
        """At another speed, moved, noisy, louder or quieter: whatever is switched on, in this order."""
        if self.speed:
            item = faster(item, 1 + self.speed * rng.uniform(-1, 1))
        if self.shift:
            item = moved(item, round(self.shift * self.rate * rng.uniform(-1, 1)))
        if self.noise is not None:
            item = noisy(item, rng.uniform(*self.noise), rng)
        if self.gain:
            item = item * np.float32(10 ** (self.gain * rng.uniform(-1, 1) / 20))
        return item

    @property
    def corruptions(self) -> Mapping[str, Corruption]:
        """White noise, at a ratio of sound to noise; a sound that is quieter; and one that breaks off for a while."""
        return {
            "noise": Corruption("dB", (20.0, 10.0, 5.0, 0.0), noisy),
            "quiet": Corruption("dB", (-10.0, -20.0, -30.0), quieter),
            "gap": Corruption("of the time", (0.1, 0.3, 0.5), interrupted),
        }

    def length(self, item: Samples) -> int:
        return len(item)

    def collate(self, items: Sequence[Samples]) -> Inputs:
        lengths = np.array([len(item) for item in items])
        samples = np.zeros((len(items), lengths.max()), dtype=np.float32)
        for row, item in zip(samples, items, strict=True):
            row[: len(item)] = item
        mask = np.arange(lengths.max()) < lengths[:, None]  # [n, time]
        return {"samples": torch.from_numpy(samples), "mask": torch.from_numpy(mask)}


def _unpacked(short: NDArray[np.int16]) -> Samples:
    return short.astype(np.float32) / FULL_SCALE
