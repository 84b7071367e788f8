"""Decodes damaged values of every kind: python decoding.py FIRST LAST.

Value number n is the same each time. Prints, as one line of JSON, how many values each modality read and refused, the
slowest one, and by how much the process grew. Anything but a DecodeError ends it, and so does more memory than MEMORY.
"""

from __future__ import annotations

import io
import json
import math
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import watch
from PIL import Image as Pillow
from safetensors.torch import save

from mmsdk.builtin.modalities.features import Features
from mmsdk.builtin.modalities.image import Image
from mmsdk.builtin.modalities.labels import Labels
from mmsdk.builtin.modalities.tabular import Tabular
from mmsdk.builtin.modalities.text import Text
from mmsdk.errors import DecodeError

MEMORY = 8 * 2**30
"""Bytes of address space, of which torch takes a part."""
EXTREMES = [b"\xff" * 4, b"\0" * 4, b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\x7f\xff\xff\xff", b"\0\0\0\1", b"\1\0\0\0"]
ODD: list[Any] = [
    *(None, True, 0, -1, 2**63, 10**400, 1.5, 1e39, math.nan, math.inf, -math.inf, Decimal("1e999"), Fraction(1, 3)),
    *("", " ", "x", "1e999", "nan", "\ud800", "\0", "é" * 50, "1" * 5000, "a " * 3000, b"", b"\xff\xfe", bytearray(3)),
    *(
        [],
        [[]],
        [None],
        [[1, 2], [3]],
        [[[1.0]]],
        ["a", 1],
        {},
        {"a": 1},
        {1: {2: {3: 4}}},
        {"samples": [1], "rate": 0},
    ),
    *((), (1, 2), {1, 2}, range(3), object(), int, len, 1j, np.float32(1), np.array(3), np.array([]), np.array(["a"])),
    *(np.zeros((2, 2, 5)), np.full((3, 3), np.nan), np.array([object()]), np.zeros(3, dtype=[("a", "i4")])),
    *(torch.zeros(3), torch.zeros(2, 3), torch.tensor(1), np.datetime64(1, "s"), "x" * 300),
    *(Path("/none"), Path("/"), Path("/dev/zero"), Path("\0"), Path("x" * 300)),
]


class Decoder(NamedTuple):
    """originals: good files, as bytes. read: one value. wrapped: what is made of the bytes of a file."""

    name: str
    originals: list[bytes]
    read: Callable[[Any], Any]
    wrapped: Callable[[bytes], Any] = bytes


def pictures() -> list[bytes]:
    rng = np.random.default_rng(0)
    image = Pillow.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
    kinds: list[tuple[Pillow.Image, str, dict[str, Any]]] = [
        *((image, kind, {}) for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP")),
        (
            image,
            "JPEG",
            {"progressive": True, "exif": b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"},
        ),
        (image.convert("P"), "PNG", {"transparency": 0}),
        (image.convert("RGBA"), "WEBP", {"lossless": True}),
        (image.convert("L"), "PNG", {}),
        (image, "GIF", {"save_all": True, "append_images": [image.rotate(90)]}),
    ]
    return [_saved(each, kind, options) for each, kind, options in kinds]


def _saved(image: Pillow.Image, kind: str, options: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def sounds() -> list[bytes]:
    import soundfile

    samples = (0.3 * np.random.default_rng(0).standard_normal((2_000, 2))).astype(np.float32)
    found = []
    kinds = [("WAV", "PCM_16"), ("WAV", "FLOAT"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")]
    for kind, subtype in kinds:
        file = io.BytesIO()
        soundfile.write(file, samples, 16_000, format=kind, subtype=subtype)
        found.append(file.getvalue())
    return found


def videos() -> list[bytes]:
    import av

    found = []
    for kind, codec in (("mp4", "libx264"), ("avi", "mjpeg"), ("webm", "libvpx")):
        file = io.BytesIO()
        with av.open(file, "w", format=kind) as container:
            stream = container.add_stream(codec, rate=8)
            stream.width, stream.height, stream.pix_fmt = 48, 32, "yuvj420p" if codec == "mjpeg" else "yuv420p"
            for step in range(6):
                picture = np.full((32, 48, 3), 40 * step, dtype=np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode(None))
        found.append(file.getvalue())
    return found


def arrays() -> list[bytes]:
    found = [save({"x": torch.arange(12.0).view(4, 3)}), save({"x": torch.zeros(3, dtype=torch.bfloat16)})]
    for array in (np.arange(12.0).reshape(4, 3), np.arange(3, dtype=np.int16), np.array(["text"]), np.array([1, 2, 3])):
        file = io.BytesIO()
        np.save(file, array)
        found.append(file.getvalue())
    return found


def decoders(folder: Path) -> list[Decoder]:
    from mmsdk_speech.decoding import sound_of
    from mmsdk_video.clip import Clips

    def as_file(data: bytes) -> Path:
        path = folder / ("x.npy" if data[:1] == b"\x93" else "x.safetensors")
        path.write_bytes(data)
        return path

    features, text, table, labels = Features(), Text(), Tabular(["a", "b"], ["c"]), Labels()
    features.fit([[1.0, 2.0, 3.0]])
    text.fit(["a b c"] * 2)
    table.fit([{"a": 1, "b": 2, "c": "x"}])
    labels.fit(["a", "b"])
    texts = ["grüße 🙂 a b".encode(), b"plain words, and more of them. " * 20, "\u0300\u200d\ufeff".encode()]

    def as_cells(data: bytes) -> dict[str, Any]:
        parts = data.split(b" ")
        return {"a": parts[0].decode("utf-8", "surrogateescape"), "b": len(parts), "c": parts[-1].decode("latin-1")}

    return [
        Decoder("image", pictures(), Image(size=16).prepare),
        Decoder("audio", sounds(), lambda value: sound_of(value, 10)),
        Decoder("video", videos(), Clips(size=16, frames=3).prepare),
        Decoder("features", arrays(), features.prepare, as_file),
        Decoder("text", texts, text.prepare, lambda data: data.decode("utf-8", "surrogateescape")),
        Decoder("tabular", texts, table.prepare, as_cells),
        Decoder("labels", texts, labels.prepare, lambda data: data.decode("latin-1")),
    ]


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """With one to four damages, most of them in the header."""
    changed = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        place = int(rng.integers(0, 1 + min(len(changed), 64 if rng.random() < 0.5 else len(changed))))
        match rng.integers(0, 7):
            case 0:  # a byte
                changed[place : place + 1] = rng.bytes(1)
            case 1:  # a bit
                if place < len(changed):
                    changed[place] ^= 1 << int(rng.integers(0, 8))
            case 2:  # a number that lies
                changed[place : place + 4] = EXTREMES[rng.integers(0, len(EXTREMES))]
            case 3:  # the end is missing, or everything
                del changed[place:]
            case 4:  # a part twice
                changed[place:place] = changed[place : place + int(rng.integers(1, 400))]
            case 5:  # a part is missing
                del changed[place : place + int(rng.integers(1, 60))]
            case 6:  # rubbish
                changed[place : place + 16] = rng.bytes(16)
    return bytes(changed)


def value_of(decoder: Decoder, number: int) -> Any:
    rng = np.random.default_rng(number)
    if rng.random() < 0.1:
        odd = ODD[rng.integers(0, len(ODD))]
        sound = [{"samples": odd, "rate": 8000}, {"samples": [0.1], "rate": odd}]
        shapes: list[Any] = [odd, [odd], {"a": odd, "c": odd}, *sound]
        return shapes[rng.integers(0, len(shapes))]
    return decoder.wrapped(mutated(decoder.originals[rng.integers(0, len(decoder.originals))], rng))


def main(first: int, last: int, folder: Path) -> None:
    every = decoders(folder)
    for decoder in every:  # so that what is loaded once is no growth
        for data in decoder.originals:
            try:
                decoder.read(decoder.wrapped(data))
            except DecodeError:
                continue
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    counts = {decoder.name: [0, 0] for decoder in every}
    slowest, before = 0.0, watch.memory("VmRSS")
    watch.reset_peak()
    for number in range(first, last):
        decoder = every[number % len(every)]
        print(number, decoder.name, file=sys.stderr, flush=True)  # the last one is what it died of
        value = value_of(decoder, number)
        begun = time.perf_counter()
        try:
            decoder.read(value)
            counts[decoder.name][0] += 1
        except DecodeError as error:
            assert error.reason
            counts[decoder.name][1] += 1
        slowest = max(slowest, time.perf_counter() - begun)
    growth = {"kept": watch.memory("VmRSS") - before, "peak": watch.memory("VmHWM") - before}
    print(json.dumps({"counts": counts, "slowest": slowest, **growth}))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        main(int(sys.argv[1]), int(sys.argv[2]), Path(name))
