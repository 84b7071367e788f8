"""Pictures: whatever a raw image may be, as a Pillow image in RGB or RGBA."""

from __future__ import annotations

from contextlib import AbstractContextManager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from mmsdk.builtin.modalities.files import decoding, existing_file, said_by
from mmsdk.builtin.modalities.scalars import shown
from mmsdk.errors import DecodeError

FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "BMP"]
"""What is opened at all: each further decoder would be a further way in."""
MAX_MEGAPIXELS = 50
"""Told from the header: a file of a few kilobytes can say that it has billions of pixels."""
MAX_SCANS = 100
"""Of a progressive JPEG, which has about ten. Each decodes the whole picture once more, and takes a dozen bytes: a file
of a megabyte could keep a processor busy for an hour."""
EXPECTED = "an image: the path of a file, its bytes, or pixels [height, width] or [height, width, 3]"


def picture(value: Any) -> Image.Image:
    """The first frame of a picture, upright, in RGB, or in RGBA where it is transparent somewhere.

    value: a path, the bytes of a file, a Pillow image, or pixels as an array or nested lists.

    Raises:
        DecodeError: it cannot be read, or it is too large.
    """
    if isinstance(value, str | Path):
        return _from_file(existing_file(Path(value)), f"the image '{value}'")
    if isinstance(value, bytes | bytearray | memoryview):
        return _from_file(BytesIO(value), "the image")
    if isinstance(value, Image.Image):
        with _decoding("the image"):
            plain = _plain(value, "the image")
            return plain if plain is not value else value.copy()  # nobody draws on the caller's own
    if isinstance(value, np.ndarray | list | tuple):
        return _from_pixels(value)
    raise DecodeError(f"expected {EXPECTED}; got {shown(value)}")


def _from_file(source: Path | BytesIO, name: str) -> Image.Image:
    with _decoding(name), Image.open(source, formats=FORMATS) as image:
        if image.format == "JPEG":
            _check_scans(source, name)
        return _plain(image, name)


def _decoding(name: str) -> AbstractContextManager[None]:
    return decoding(name, "a JPEG, PNG, WEBP, GIF or BMP file", _why)


def _why(error: Exception) -> str:
    return "it is no image, or damaged" if isinstance(error, UnidentifiedImageError) else said_by(error)


def on_white(image: Image.Image) -> Image.Image:
    """In RGB; what is transparent shows white."""
    if image.mode != "RGBA":
        return image if image.mode == "RGB" else image.convert("RGB")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")


def _plain(image: Image.Image, name: str) -> Image.Image:
    """Upright, with 8 bits per channel. The size is known before the first pixel is decoded."""
    _check_size(*image.size, name)
    if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:  # else it would only be copied
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):  # Pillow would clip 16 bits instead of scaling them
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        return _from_pixels(np.asarray(image))
    mode = "RGBA" if image.has_transparency_data else "RGB"
    image.load()  # the file is closed when it is used
    return image if image.mode == mode else image.convert(mode)


def _check_scans(source: Path | BytesIO, name: str) -> None:
    data = source.read_bytes() if isinstance(source, Path) else source.getvalue()
    if (count := data.count(b"\xff\xda")) > MAX_SCANS:  # within a scan, FF is always followed by 00
        raise DecodeError(f"{name} is drawn in {count:,} scans; at most {MAX_SCANS} are read")


def _check_size(width: int, height: int, name: str) -> None:
    if width * height > MAX_MEGAPIXELS * 1_000_000:
        raise DecodeError(f"{name} has {width} x {height} pixels; at most {MAX_MEGAPIXELS} megapixels are read")


def _from_pixels(value: Any) -> Image.Image:
    try:
        pixels = np.asarray(value)
    except ValueError:
        raise DecodeError(f"expected {EXPECTED}; got rows of different lengths") from None
    if pixels.dtype.kind not in "biuf" or pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (3,)):
        raise DecodeError(f"expected {EXPECTED}; got an array {list(pixels.shape)} of {pixels.dtype}")
    if pixels.size == 0:
        raise DecodeError(f"expected {EXPECTED}; got an array without pixels")
    _check_size(pixels.shape[1], pixels.shape[0], "the image")
    return Image.fromarray(_eight_bit(pixels)).convert("RGB")


def _eight_bit(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Any numbers as uint8. They go up to 255 where one is above 1, and up to 1 otherwise."""
    if pixels.dtype == np.uint8:
        return pixels
    low, high = pixels.min(), pixels.max()
    if not (low >= 0 and high <= 255):  # NaN, too, is neither
        raise DecodeError(f"expected pixels in 0..1 or in 0..255, got {low:g} to {high:g}")
    scaled: np.ndarray[Any, Any] = np.rint(pixels * np.float32(1 if high > 1 else 255))
    return scaled.astype(np.uint8)
