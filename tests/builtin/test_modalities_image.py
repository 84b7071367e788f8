from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as Pillow

from mmsdk.builtin.declarations.modalities import ImageConfig
from mmsdk.builtin.modalities.image import Image
from mmsdk.errors import DecodeError
from mmsdk.formats import Format

Pixels = NDArray[np.uint8]


def pixels(height: int = 8, width: int = 6) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(image: Pillow.Image | Pixels, format: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    (image if isinstance(image, Pillow.Image) else Pillow.fromarray(image)).save(file, format, **options)
    return file.getvalue()


def png_header(width: int, height: int) -> bytes:
    """The start of a one-bit PNG file of any size; the pixels themselves are missing."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_every_form_of_a_picture_gives_the_same_pixels(tmp_path: Path) -> None:
    raw = pixels()
    path = tmp_path / "x.png"
    path.write_bytes(encoded(raw))
    image = Image(size=(8, 6))
    forms = [path, str(path), path.read_bytes(), bytearray(path.read_bytes()), Pillow.fromarray(raw), raw]
    forms += [raw.tolist(), raw.astype(np.int64), raw / 255, (raw / 255).tolist(), encoded(raw, "BMP")]
    forms += [encoded(raw, "WEBP", lossless=True)]
    for form in forms:
        item = image.prepare(form)
        assert item.dtype == np.uint8 and np.array_equal(item, raw)


def test_grey_pixels_count_up_to_one_or_up_to_255() -> None:
    image = Image(size=(1, 3))
    assert image.prepare([[0, 1, 1]])[0, :, 0].tolist() == [0, 255, 255]
    assert image.prepare([[0, 1, 200]])[0, :, 2].tolist() == [0, 1, 200]
    assert image.prepare([[0, 0.5, 1]])[0, :, 1].tolist() == [0, 128, 255]
    assert image.prepare(np.array([[0, 1, 1]], dtype=np.uint8))[0, :, 0].tolist() == [0, 1, 1]
    assert image.prepare(np.array([[False, True, True]]))[0, :, 0].tolist() == [0, 255, 255]


def test_sixteen_bits_are_scaled_and_transparency_shows_white() -> None:
    grey = Pillow.fromarray(np.array([[0, 32768, 65535]], dtype=np.uint16))
    image = Image(size=(1, 3))
    assert image.prepare(encoded(grey))[0, :, 0].tolist() == [0, 128, 255]
    assert image.prepare(grey)[0, :, 0].tolist() == [0, 128, 255]
    assert image.prepare(Pillow.fromarray(np.array([[0, 0.5, 1]], dtype=np.float32)))[0, 1, 0] == 128
    clear = np.array([[[9, 9, 9, 255], [9, 9, 9, 0], [0, 0, 0, 128]]], dtype=np.uint8)
    assert image.prepare(encoded(Pillow.fromarray(clear)))[0, :, 0].tolist() == [9, 255, 127]
    palette = Pillow.fromarray(pixels(4, 4)).quantize(4)
    palette.info["transparency"] = 0
    assert Image(size=4).prepare(encoded(palette, "GIF")).shape == (4, 4, 3)


def test_upright_and_only_the_first_frame() -> None:
    wide = Pillow.fromarray(pixels(10, 20))
    turned = Pillow.Exif()
    turned[0x0112] = 6  # to be turned by 90 degrees
    item = Image(size=(20, 10)).prepare(encoded(wide, exif=turned))
    assert np.array_equal(item, np.rot90(pixels(10, 20), -1))
    frames = [Pillow.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    moving = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert Image(size=4).prepare(moving)[0, 0].tolist() == [255, 0, 0]


def test_resizing_stretches_or_crops() -> None:
    halves = np.zeros((20, 60, 3), dtype=np.uint8)
    halves[:, 20:40] = 255  # the middle third is white
    stretched = Image(size=20).prepare(halves)
    cropped = Image(size=20, resize="crop").prepare(halves)
    assert stretched[:, 0].max() == 0 and stretched[:, 10].min() == 255
    assert cropped.min() == 255
    for extreme in (np.zeros((1, 5000), np.uint8), np.zeros((1, 1), np.uint8)):
        for resize in ("stretch", "crop"):
            assert Image(size=(3, 5), resize=resize).prepare(extreme).shape == (3, 5, 3)


DAMAGED = {
    "empty": b"",
    "text": b"this is a text, and no image",
    "truncated": encoded(pixels(64, 64))[:-4000],
    "truncated JPEG": encoded(pixels(64, 64), "JPEG")[:900],
    "only a header": encoded(pixels())[:20],
    "another format": encoded(pixels(), "TIFF"),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_damaged_files_are_refused_with_a_reason(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(content)
    with pytest.raises(DecodeError, match=r"cannot read the image '.*x.png': .+; expected a JPEG, PNG, WEBP"):
        Image().prepare(path)
    with pytest.raises(DecodeError, match=r"cannot read the image: [^<]+; expected a JPEG"):
        Image().prepare(content)


def test_a_picture_that_is_too_large_is_refused_from_its_header() -> None:
    bomb = png_header(9400, 9400)
    for value in (bomb, Pillow.open(io.BytesIO(bomb)), np.broadcast_to(np.uint8(0), (9400, 9400))):
        with pytest.raises(DecodeError, match="9400 x 9400 pixels; at most 50 megapixels"):
            Image().prepare(value)
    with pytest.raises(DecodeError, match="cannot read the image"):
        Image().prepare(png_header(60_000, 60_000))  # Pillow's own limit strikes first


def test_a_lazy_picture_that_turns_out_damaged_is_refused() -> None:
    lazy = Pillow.open(io.BytesIO(DAMAGED["truncated"]))
    with pytest.raises(DecodeError, match="cannot read the image"):
        Image().prepare(lazy)


def test_there_has_to_be_a_file(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.png", tmp_path, Path("x" * 5000)):
        with pytest.raises(DecodeError, match="there is no file '"):
            Image().prepare(path)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (3, "expected an image.*got 3"),
        ([[1, 2], [3]], "different lengths"),
        ([["a", "b"]], "got an array"),
        ([1, 2, 3], r"got an array \[3\]"),
        (np.zeros((2, 2, 5)), r"got an array \[2, 2, 5\]"),
        (np.zeros((0, 4)), "without pixels"),
        ([[float("nan")]], "expected pixels in 0..1 or in 0..255, got nan"),
        ([[-1, 3]], "got -1 to 3"),
        ([[0, 256]], "got 0 to 256"),
        ([[0, 1e300]], r"got 0 to 1e\+300"),
    ],
)
def test_what_is_no_picture_is_refused(value: object, reason: str) -> None:
    with pytest.raises(DecodeError, match=reason):
        Image().prepare(value)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["PNG", "JPEG", "GIF", "WEBP", "BMP"]), st.data())
def test_a_changed_file_gives_pixels_or_a_decode_error(format: str, data: st.DataObject) -> None:
    content = bytearray(ENCODED[format])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        item = Image(size=4).prepare(bytes(content))
    except DecodeError:
        return
    assert item.shape == (4, 4, 3) and item.dtype == np.uint8


ENCODED = {format: encoded(pixels(), format) for format in ["PNG", "JPEG", "GIF", "WEBP", "BMP"]}

VARIATIONS = [
    {"shift": 0.3},
    {"rotate": 30.0},
    {"scale": 0.4},
    {"flip": True},
    {"stroke": 0.15},
    {"noise": 0.1},
    {"brightness": 0.5},
    {"shift": 0.1, "rotate": 10.0, "scale": 0.1, "flip": True, "stroke": 0.1, "noise": 0.05, "brightness": 0.2},
]


@pytest.mark.parametrize("options", VARIATIONS, ids=lambda options: " ".join(options))
def test_augmentation_is_reproducible_and_leaves_the_item_alone(options: dict[str, float]) -> None:
    image, item = Image(size=(8, 6), **options), pixels()  # type: ignore[arg-type]
    variants = [image.augment(item, np.random.default_rng(seed)) for seed in (1, 1, 0, 2, 3)]
    assert np.array_equal(item, pixels())
    assert np.array_equal(variants[0], variants[1])
    assert any(not np.array_equal(variants[0], other) for other in variants[2:])
    assert all(variant.shape == item.shape and variant.dtype == np.uint8 for variant in variants)
    image.collate(variants)


def test_augmentation_does_what_its_name_says() -> None:
    item = np.full((21, 21, 3), 50, dtype=np.uint8)
    item[10, 10] = 250  # one light point in the middle

    def variants(**options: float) -> list[Pixels]:
        image = Image(size=21, **options)  # type: ignore[arg-type]
        return [image.augment(item, np.random.default_rng(seed)) for seed in range(20)]

    assert Image(size=21).augment(item, np.random.default_rng(0)) is item
    for variant in variants(rotate=180.0) + variants(scale=0.2):
        assert variant[10, 10, 0] > 200  # the middle stays
    moved = variants(shift=0.3)
    peaks = {tuple(int(place) for place in np.argwhere(variant[..., 0] > 60)[0]) for variant in moved}
    assert len(peaks) > 10
    assert all(variant.min() >= 49 for variant in moved)  # what comes in has the colour of the edges
    assert {variant.max() > 250 for variant in variants(brightness=0.4)} == {True, False}
    written = variants(stroke=0.1)  # the point grows by up to two pixels each way, or fades
    assert {int((variant[..., 0] > 150).sum()) for variant in written} == {0, 1, 9, 25}
    assert abs(np.std(variants(noise=0.1)[0][0].astype(float)) - 25.5) < 8
    half = np.zeros((21, 21, 3), dtype=np.uint8)
    half[:, :5] = 255
    mirrored = [Image(size=21, flip=True).augment(half, np.random.default_rng(seed)) for seed in range(20)]
    sides = {bool(variant[0, 0, 0] == 255) for variant in mirrored}
    assert sides == {True, False} and all(variant.sum() == half.sum() for variant in mirrored)


def test_batches_are_floats_and_come_back_as_pictures() -> None:
    image = Image(size=(8, 6))
    items = [image.prepare(pixels()), image.blank()]
    inputs = image.collate(items)
    assert inputs["pixels"].shape == (2, 3, 8, 6) and inputs["pixels"].dtype == torch.float32
    assert inputs["pixels"].is_contiguous() and inputs["pixels"][1].max() == 0
    assert torch.equal(inputs["pixels"][0, 2], torch.from_numpy(pixels()[..., 2]) / 255)
    assert image.collate([pixels()])["pixels"].shape == (1, 3, 8, 6)
    assert [np.array(picture).tolist() for picture in image.decode(inputs)] == [item.tolist() for item in items]
    assert image.format == Format("pixels", sizes=(8, 6)) and image.length(items[0]) == 1


def test_the_config_builds_it() -> None:
    image = ImageConfig.model_validate({"size": [3, 4], "resize": "crop", "flip": True}).build()
    assert isinstance(image, Image) and image.reads_files and not image.fits
    assert (image.height, image.width, image.resize, image.flip) == (3, 4, "crop", True)
    assert isinstance(ImageConfig(size=5).build(), Image)
