"""`video.sound`: the sound track of videos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from mmsdk import Format, Inputs, Modality
from mmsdk_video.sounds import Samples, sound_of
from mmsdk_video.window import Window


class Sounds(Modality):
    """Sound tracks, mixed to mono and brought to one rate.

    Kind "waveform": samples [n, time] float32, where 1 is full scale, and mask [n, time] bool. An item is [time].
    """

    reads_files = True

    def __init__(
        self, rate: int = 16_000, *, start: float = 0.0, seconds: float | None = None, max_seconds: float = 60.0
    ) -> None:
        self.rate, self.window = rate, Window(start, seconds, max_seconds)

    @property
    def format(self) -> Format:
        return Format("waveform", rate=float(self.rate))

    def prepare(self, value: Any) -> Samples:
        """A path, or the bytes of a file."""
        return sound_of(value, self.rate, self.window)

    def pack(self, item: Samples) -> Mapping[str, Samples]:
        return {"samples": item}

    def unpack(self, arrays: Mapping[str, Samples]) -> Samples:
        return arrays["samples"]

    def blank(self) -> Samples:
        return np.zeros(1, dtype=np.float32)

    def length(self, item: Samples) -> int:
        return len(item)

    def collate(self, items: Sequence[Samples]) -> Inputs:
        lengths = torch.tensor([len(item) for item in items])
        longest = int(lengths.max())
        samples = torch.zeros(len(items), longest)
        for row, item in zip(samples, items, strict=True):
            row[: len(item)] = torch.from_numpy(item)
        return {"samples": samples, "mask": torch.arange(longest) < lengths[:, None]}
