"""Images, as pixels of one size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageFilter, ImageOps

from mmsdk.builtin.modalities.picture_corruptions import PICTURE_CORRUPTIONS
from mmsdk.builtin.modalities.pictures import on_white, picture
from mmsdk.containers import Inputs
from mmsdk.formats import Format
from mmsdk.interfaces import Corruption, Modality

Pixels = NDArray[np.uint8]


class Image(Modality):
    """Pictures brought to one size. Kind "pixels": pixels [n, 3, height, width] float32 in 0..1.

    An item is [height, width, 3] uint8. What is transparent shows white.
    """

    reads_files = True

    def __init__(
        self,
        size: int | tuple[int, int] = 64,
        resize: Literal["stretch", "crop"] = "stretch",
        shift: float = 0.0,
        rotate: float = 0.0,
        scale: float = 0.0,
        flip: bool = False,
        stroke: float = 0.0,
        noise: float = 0.0,
        brightness: float = 0.0,
    ) -> None:
        self.height, self.width = (size, size) if isinstance(size, int) else size
        self.resize = resize
        self.shift, self.rotate, self.scale, self.flip = shift, rotate, scale, flip
        self.stroke = stroke
        self.noise, self.brightness = noise, brightness

    @property
    def format(self) -> Format:
        return Format("pixels", sizes=(self.height, self.width))

    def prepare(self, value: Any) -> Pixels:
        """A path, the bytes of a file, a Pillow image, or pixels: an array or nested lists.

        Pixels are [height, width] or [height, width, 3]: uint8, or numbers in 0..1 or 0..255.
        """
        image, size = picture(value), (self.width, self.height)
        if self.resize == "crop":
            image = ImageOps.fit(image, size, Pillow.Resampling.BICUBIC)
        elif image.size != size:
            image = image.resize(size, Pillow.Resampling.BICUBIC)
        return np.array(on_white(image))

    def pack(self, item: Pixels) -> Mapping[str, Pixels]:
        return {"pixels": item}

    def unpack(self, arrays: Mapping[str, Pixels]) -> Pixels:
        return arrays["pixels"]

    def blank(self) -> Pixels:
        return np.zeros((self.height, self.width, 3), dtype=np.uint8)

    @property
    def augments(self) -> bool:
        moves = self.shift or self.rotate or self.scale or self.flip
        return bool(moves or self.stroke or self.brightness or self.noise)

    def augment(self, item: Pixels, rng: np.random.Generator) -> Pixels:
        """Moved, mirrored, drawn thicker or thinner, lighter or darker, noisy: whatever is on, in this order."""
        if self.shift or self.rotate or self.scale:
            item = self._moved(item, rng)
        if self.flip and rng.random() < 0.5:
            item = item[:, ::-1].copy()
        if self.stroke:
            item = self._written(item, rng)
        if self.brightness or self.noise:
            light = 1 + self.brightness * rng.uniform(-1, 1)
            grain = 255 * self.noise * rng.standard_normal(item.shape, dtype=np.float32)
            item = np.rint(item * np.float32(light) + grain).clip(0, 255).astype(np.uint8)
        return item

    def _moved(self, item: Pixels, rng: np.random.Generator) -> Pixels:
        """Shifted, turned and resized about its middle; what comes in has the median colour of the edges."""
        right, down, turn, growth = rng.uniform(-1, 1, size=4)
        angle = math.radians(self.rotate * turn)
        cos, sin = (part / (1 + self.scale * growth) for part in (math.cos(angle), math.sin(angle)))
        x, y = self.width / 2, self.height / 2
        new_x, new_y = x + self.shift * right * self.width, y + self.shift * down * self.height
        # Pillow asks where a pixel of the result comes from: (cos, sin; -sin, cos) about the new middle.
        origin = (cos, sin, x - cos * new_x - sin * new_y, -sin, cos, y + sin * new_x - cos * new_y)
        edges = np.concatenate([item[0], item[-1], item[:, 0], item[:, -1]])  # [2 * (height + width), 3]
        fill = tuple(int(channel) for channel in np.median(edges, axis=0))
        image = Pillow.fromarray(item).transform(
            (self.width, self.height),
            Pillow.Transform.AFFINE,
            origin,
            Pillow.Resampling.BILINEAR,
            fillcolor=fill,
        )
        return np.array(image)

    def _written(self, item: Pixels, rng: np.random.Generator) -> Pixels:
        """As if with another pen: each pixel on its way to the lightest, or the darkest, of its neighbours."""
        reach = self.stroke * min(self.height, self.width) * rng.uniform(-1, 1)  # in pixels
        radius = max(1, math.ceil(abs(reach)))
        rank = ImageFilter.MaxFilter if reach > 0 else ImageFilter.MinFilter
        image = Pillow.fromarray(item)
        return np.array(Pillow.blend(image, image.filter(rank(2 * radius + 1)), abs(reach) / radius))

    @property
    def corruptions(self) -> Mapping[str, Corruption]:
        return PICTURE_CORRUPTIONS

    def collate(self, items: Sequence[Pixels]) -> Inputs:
        pixels = np.empty((len(items), 3, self.height, self.width), dtype=np.float32)
        for row, item in zip(pixels, items, strict=True):  # in numpy this takes half as long as in torch
            row[:] = item.transpose(2, 0, 1)
        return {"pixels": torch.from_numpy(pixels).div_(255)}

    def decode(self, tensors: Inputs) -> list[Pillow.Image]:
        """Pillow images of pixels [n, 3, height, width] in 0..1."""
        pixels = (tensors["pixels"].detach().float() * 255).round().clamp(0, 255).to(torch.uint8)
        return [Pillow.fromarray(item) for item in pixels.permute(0, 2, 3, 1).cpu().numpy()]
