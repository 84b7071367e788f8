"""`video.clip`: frames of videos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import torch

from mmsdk import PICTURE_CORRUPTIONS, Corruption, Format, Inputs, Modality
from mmsdk_video.files import MAX_PIXELS
from mmsdk_video.pictures import Clip, Limits, clip_of
from mmsdk_video.window import Window


class Clips(Modality):
    """Frames of videos, brought to one size. Kind "frames": frames [n, length, 3, height, width] float32 in 0..1, and
    mask [n, length] bool.

    An item is [length, height, width, 3] uint8, a quarter of that.
    """

    reads_files = True

    def __init__(
        self,
        size: int | tuple[int, int] = 64,
        resize: Literal["stretch", "crop"] = "stretch",
        *,
        frames: int | None = 8,
        rate: float | None = None,
        start: float = 0.0,
        seconds: float | None = None,
        max_seconds: float = 60.0,
        max_frames: int = 3_600,
        max_pixels: int = MAX_PIXELS,
        shift: float = 0.0,
        flip: bool = False,
        noise: float = 0.0,
        brightness: float = 0.0,
    ) -> None:
        self.height, self.width = (size, size) if isinstance(size, int) else size
        self.resize, self.frames, self.rate = resize, frames, rate
        self.window, self.limits = Window(start, seconds, max_seconds), Limits(max_frames, max_pixels)
        self.shift, self.flip, self.noise, self.brightness = shift, flip, noise, brightness

    @property
    def format(self) -> Format:
        return Format("frames", sizes=(self.height, self.width), rate=self.rate)

    def prepare(self, value: Any) -> Clip:
        """A path, or the bytes of a file."""
        return clip_of(
            value,
            (self.height, self.width),
            frames=self.frames,
            rate=self.rate,
            resize=self.resize,
            window=self.window,
            limits=self.limits,
        )

    def pack(self, item: Clip) -> Mapping[str, Clip]:
        return {"frames": item}

    def unpack(self, arrays: Mapping[str, Clip]) -> Clip:
        return arrays["frames"]

    def blank(self) -> Clip:
        return np.zeros((1, self.height, self.width, 3), dtype=np.uint8)

    @property
    def augments(self) -> bool:
        return bool(self.shift or self.flip or self.brightness or self.noise)

    def augment(self, item: Clip, rng: np.random.Generator) -> Clip:
        """Moved, mirrored, lighter or darker, noisy: whatever is switched on, in this order, alike in all frames but
        for the noise."""
        if self.shift:
            down, right = rng.uniform(-self.shift, self.shift, size=2)
            rows = np.arange(self.height) - round(down * self.height)
            columns = np.arange(self.width) - round(right * self.width)
            item = item[:, rows.clip(0, self.height - 1)][:, :, columns.clip(0, self.width - 1)]  # edges are repeated
        if self.flip and rng.random() < 0.5:
            item = item[:, :, ::-1].copy()
        if self.brightness or self.noise:
            light = 1 + self.brightness * rng.uniform(-1, 1)
            grain = 255 * self.noise * rng.standard_normal(item.shape, dtype=np.float32)
            item = np.rint(item * np.float32(light) + grain).clip(0, 255).astype(np.uint8)
        return item

    @property
    def corruptions(self) -> Mapping[str, Corruption]:
        """Those of pictures, in each frame anew; and frames that do not arrive, in whose place the last one stays."""
        each = {name: one._replace(apply=partial(_in_each_frame, one)) for name, one in PICTURE_CORRUPTIONS.items()}
        return {**each, "frozen": Corruption("of the frames", (0.1, 0.3, 0.6), frozen)}

    def length(self, item: Clip) -> int:
        return len(item)

    def collate(self, items: Sequence[Clip]) -> Inputs:
        lengths = torch.tensor([len(item) for item in items])
        longest = int(lengths.max())
        frames = torch.zeros(len(items), longest, 3, self.height, self.width)
        for row, item in zip(frames, items, strict=True):
            row[: len(item)] = torch.from_numpy(item).permute(0, 3, 1, 2)  # [length, 3, height, width]
        return {"frames": frames.div_(255), "mask": torch.arange(longest) < lengths[:, None]}


def frozen(item: Clip, share: float, rng: np.random.Generator) -> Clip:
    """Each frame but the first is lost with this chance: what was there before is shown on."""
    lost = rng.random(len(item)) < share
    lost[0] = False
    return item[np.maximum.accumulate(np.where(lost, 0, np.arange(len(item))))]


def _in_each_frame(corruption: Corruption, item: Clip, severity: float, rng: np.random.Generator) -> Clip:
    return np.stack([corruption.apply(frame, severity, rng) for frame in item])
