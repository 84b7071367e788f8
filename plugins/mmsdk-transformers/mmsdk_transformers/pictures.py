"""Pictures: whatever a raw image may be, as a Pillow image in RGB, within limits."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from mmsdk import DecodeError

FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "BMP"]
"""What is opened at all: each further decoder would be a further way in."""
MAX_PIXELS = 50_000_000
"""Told from the header: a file of a few kilobytes can say that it has billions."""
EXPECTED = "an image: the path of a file, its bytes, or pixels [height, width, 3] as uint8"


def picture(value: Any) -> Image.Image:
    """The first frame of a picture, upright, in RGB. What is transparent shows white.

    value: a path, the bytes of a file, a Pillow image, or an array [height, width, 3] of uint8.

    Raises:
        DecodeError: it cannot be read, or it is too large.
    """
    try:
        if isinstance(value, str | Path):
            with Image.open(value, formats=FORMATS) as image:
                return _plain(image)
        if isinstance(value, bytes | bytearray | memoryview):
            with Image.open(BytesIO(value), formats=FORMATS) as image:
                return _plain(image)
        if isinstance(value, Image.Image):
            return _plain(value)
        pixels = np.asarray(value)
    except DecodeError:
        raise
    except Exception as error:  # Pillow raises six types at least for damaged files
        name = f"the image '{value}'" if isinstance(value, str | Path) else "the image"
        raise DecodeError(f"cannot read {name}: {error}; expected a JPEG, PNG, WEBP, GIF or BMP file") from None
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise DecodeError(f"expected {EXPECTED}; got {type(value).__name__} {list(pixels.shape)} of {pixels.dtype}")
    return _plain(Image.fromarray(pixels))


def _plain(image: Image.Image) -> Image.Image:
    """Upright, with 8 bits per channel; the size is known before the first pixel is decoded."""
    if image.width * image.height > MAX_PIXELS:
        raise DecodeError(f"the image has {image.width} x {image.height} pixels; at most {MAX_PIXELS:,} are read")
    upright = ImageOps.exif_transpose(image)
    if not upright.has_transparency_data:
        return upright.convert("RGB")
    white = Image.new("RGBA", upright.size, "white")
    return Image.alpha_composite(white, upright.convert("RGBA")).convert("RGB")
