"""`transformers.image`: pictures, brought to a model's size by the model's own image processor."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow

from mmsdk import (
    PICTURE_CORRUPTIONS,
    ConfigError,
    Corruption,
    DecodeError,
    Format,
    Inputs,
    Modality,
    on_white,
    picture,
)
from mmsdk_transformers.native import explained, quiet

Pixels = NDArray[np.uint8]
PLAIN = {"do_normalize": False, "do_rescale": False, "do_pad": False}
"""What is left is resizing and cropping: the encoder normalises, whatever modality gives the pixels."""


class Image(Modality):
    """Pictures at the model's size. Kind "pixels": pixels [n, 3, height, width] float32 in 0..1.

    An item is [3, height, width] uint8. processor: the settings of the model's image processor, with its name as
    `image_processor_type`; it works with Pillow, so that a picture gives the same pixels on every machine.

    Raises:
        ConfigError: transformers has no such processor, or these are no settings of it.
    """

    reads_files = True

    def __init__(self, processor: Mapping[str, Any]) -> None:
        self.processor = processor_of(processor)
        _, self.height, self.width = self._pixels(Pillow.new("RGB", (512, 512))).shape

    @property
    def format(self) -> Format:
        return Format("pixels", sizes=(self.height, self.width))

    def prepare(self, value: Any) -> Pixels:
        """A path, the bytes of a file, a Pillow image, or an array [height, width, 3] of uint8."""
        pixels = self._pixels(on_white(picture(value)))
        if pixels.shape[1:] != (self.height, self.width):
            raise DecodeError(
                f"the model's image processor gives {pixels.shape[1]} x {pixels.shape[2]} pixels here, and "
                f"{self.height} x {self.width} for a square: use the modality 'image' with a 'size' instead"
            )
        return pixels

    def pack(self, item: Pixels) -> Mapping[str, Pixels]:
        return {"pixels": item}

    def unpack(self, arrays: Mapping[str, Pixels]) -> Pixels:
        return arrays["pixels"]

    @property
    def corruptions(self) -> Mapping[str, Corruption]:
        """Those of pictures; here the channels stand first."""
        return {name: each._replace(apply=partial(_channels_first, each)) for name, each in PICTURE_CORRUPTIONS.items()}

    def blank(self) -> Pixels:
        return np.zeros((3, self.height, self.width), dtype=np.uint8)

    def collate(self, items: Sequence[Pixels]) -> Inputs:
        return {"pixels": torch.from_numpy(np.stack(items, dtype=np.float32)).div_(255)}  # [n, 3, height, width]

    def _pixels(self, image: Pillow.Image) -> Pixels:
        (pixels,) = self.processor(images=[image], return_tensors="np", **PLAIN)["pixel_values"]
        return np.asarray(pixels).clip(0, 255).astype(np.uint8)


def _channels_first(corruption: Corruption, item: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    upright = np.ascontiguousarray(item.transpose(1, 2, 0))  # [height, width, 3]
    return np.ascontiguousarray(corruption.apply(upright, severity, rng).transpose(2, 0, 1))


def processor_of(settings: Mapping[str, Any]) -> Any:
    """The image processor of that name, the variant of it that works with Pillow."""
    name = str(settings.get("image_processor_type") or "").removesuffix("Fast").removesuffix("Pil")
    if not re.fullmatch(r"\w+ImageProcessor", name):
        raise ConfigError(
            f"processor: expected the name of an image processor as 'image_processor_type', found '{name}': use the "
            "modality 'image' with a 'size' instead"
        )
    own = {key: value for key, value in settings.items() if not key.endswith(("_type", "_class"))}
    with explained(name), quiet():
        from transformers.models.auto.image_processing_auto import get_image_processor_class_from_name

        found = get_image_processor_class_from_name(f"{name}Pil") or get_image_processor_class_from_name(name)
    if found is None:
        raise ConfigError(f"processor: the installed transformers has no '{name}': pip install -U transformers")
    try:
        with quiet():
            return found(**own)
    except Exception as error:  # whatever the library finds wrong with them
        raise ConfigError(f"processor: these are no settings of '{name}': {error}") from error
