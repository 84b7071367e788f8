"""How pictures go bad: functions of an item [height, width, 3] uint8."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from mmsdk.interfaces import Corruption

Pixels = NDArray[np.uint8]


def noisy(item: Pixels, deviation: float, rng: np.random.Generator) -> Pixels:
    """White noise on each channel, where black is 0 and white is 1."""
    return _eight_bit(item + 255 * deviation * rng.standard_normal(item.shape))


def blurred(item: Pixels, radius: float, rng: np.random.Generator) -> Pixels:
    """Out of focus; the radius is a share of the shorter side."""
    return np.array(Image.fromarray(item).filter(ImageFilter.GaussianBlur(radius * min(item.shape[:2]))))


def occluded(item: Pixels, share: float, rng: np.random.Generator) -> Pixels:
    """A grey rectangle, of the form of the picture, hides this share of it somewhere."""
    height, width = (max(1, round(side * share**0.5)) for side in item.shape[:2])
    top, left = rng.integers(item.shape[0] - height + 1), rng.integers(item.shape[1] - width + 1)
    hidden = item.copy()
    hidden[top : top + height, left : left + width] = 128
    return hidden


def darker(item: Pixels, share: float, rng: np.random.Generator) -> Pixels:
    """Less light: this share of it is missing."""
    return _eight_bit(item * (1 - share))


def _eight_bit(values: NDArray[np.floating[Any]]) -> Pixels:
    pixels: Pixels = np.rint(values).clip(0, 255).astype(np.uint8)
    return pixels


PICTURE_CORRUPTIONS: Mapping[str, Corruption] = {
    "noise": Corruption("sd", (0.1, 0.3, 0.6), noisy),
    "blur": Corruption("of the side", (0.02, 0.05, 0.1), blurred),
    "occlusion": Corruption("of the area", (0.1, 0.3, 0.5), occluded),
    "darkness": Corruption("of the light", (0.3, 0.6, 0.8), darker),
}
