"""Small things that are huge once they are opened: python bombs.py FOLDER.

A process of its own. Each bomb gives a line of JSON: what it came to, seconds, and how far memory rose while it was
read. A bomb is made, as bytes, before memory is looked at.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import struct
import sys
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import watch
from fastapi.testclient import TestClient
from PIL import Image

import mmsdk
from mmsdk.builtin.modalities.features import Features
from mmsdk.builtin.modalities.image import Image as Pictures
from mmsdk.builtin.modalities.tabular import Tabular
from mmsdk.builtin.modalities.text import Text
from mmsdk.config.yaml_file import parse_yaml
from mmsdk.data.samples import read_rows
from mmsdk.errors import MmsdkError
from tests.export import pipelines

DEEP = 1_000_000
CONTROL = "what is not refused"
"""No bomb: 320 MB, to see that memory is measured."""


class Bomb(NamedTuple):
    """make: the small thing. read: what opens it; raises an error of mmsdk, or gives the status of an answer."""

    name: str
    make: Callable[[], Any]
    read: Callable[[Any], Any]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *more: bytes, body: bool = True) -> bytes:
    """Black, one bit per pixel."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    data = zlib.compress(bytes(1 + -(-width // 8)) * height, 9) if body else b""
    parts = [chunk(b"IHDR", header), *more, chunk(b"IDAT", data), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def packed(size: int) -> bytes:
    return zlib.compress(bytes(size), 9)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def animated(kind: str, side: int, frames: int) -> bytes:
    pictures = [Image.new("RGB", (64, 64), (number, 0, 0)) for number in range(frames)]
    data = saved(pictures[0], kind, save_all=True, append_images=pictures[1:])
    if kind == "GIF":
        return data[:6] + struct.pack("<HH", side, side) + data[10:]
    place = data.index(b"VP8X") + 12  # 24 bits each, less one
    return data[:place] + struct.pack("<I", side - 1)[:3] * 2 + data[place + 6 :]


def many_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan, a header and nothing else, comes again and again."""
    data = saved(Image.new("L", (4000, 4000), 128), "JPEG", progressive=True, quality=10)
    last = data.rindex(b"\xff\xda")
    header = data[last : last + 2 + struct.unpack(">H", data[last + 2 : last + 4])[0]]
    return data[:-2] + header * count + data[-2:]


def large_jpeg() -> bytes:
    data = bytearray(saved(Image.new("L", (16, 16)), "JPEG"))
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = struct.pack(">HH", 65_500, 65_500)
    return bytes(data)


def large_bmp() -> bytes:
    data = bytearray(saved(Image.new("RGB", (8, 8)), "BMP"))
    data[18:26] = struct.pack("<ii", 60_000, 60_000)
    return bytes(data)


def images() -> Iterator[tuple[str, Callable[[], bytes]]]:
    yield "png of 88 megapixels in 11 kB", lambda: png(9400, 9400)
    yield "png of 178 megapixels", lambda: png(13_400, 13_300)
    yield "png that claims 2^31 by 2^31", lambda: png(2**31 - 1, 2**31 - 1, body=False)
    text = b"Comment\0\0" + packed(200_000_000)
    yield "png with 200 MB of text", lambda: png(8, 8, chunk(b"zTXt", text))
    yield "png with 200 MB of colours", lambda: png(8, 8, chunk(b"iCCP", b"x\0\0" + packed(200_000_000)))
    yield "gif that claims 65535 by 65535", lambda: animated("GIF", 65_535, 300)
    yield "webp of 300 frames that claims 16383 by 16383", lambda: animated("WEBP", 16_383, 300)
    yield "bmp that claims 60000 by 60000", large_bmp
    yield "jpeg that claims 65500 by 65500", large_jpeg
    yield "jpeg of 100,000 scans", lambda: many_scans(100_000)
    yield "tiff of 100 megapixels", lambda: saved(Image.new("1", (10_000, 10_000)), "TIFF", compression="tiff_deflate")


def sounds() -> Iterator[tuple[str, Callable[[], bytes]]]:
    import soundfile

    def silent(kind: str, subtype: str, rate: int, seconds: int) -> bytes:
        file = io.BytesIO()
        with soundfile.SoundFile(file, "w", rate, 1, subtype, format=kind) as written:
            for _ in range(seconds):  # an encoder of libsndfile dies of all at once
                written.write(np.zeros(rate, dtype=np.int16))
        return file.getvalue()

    def wav(rate: int, channels: int, claimed: int) -> bytes:
        about = struct.pack("<HHIIHH", 1, channels, rate, rate * 2 % 2**32, 2, 16)
        size = struct.pack("<I", claimed)
        return b"RIFF" + size + b"WAVEfmt " + struct.pack("<I", 16) + about + b"data" + size + bytes(100)

    yield "flac of an hour in 181 kB", lambda: silent("FLAC", "PCM_16", 16_000, 3600)
    yield "ogg of an hour", lambda: silent("OGG", "VORBIS", 8_000, 3600)
    yield "wav that claims 4 GB", lambda: wav(16_000, 1, 2**32 - 1)
    yield "wav of 65535 channels", lambda: wav(16_000, 65_535, 100)
    yield "wav of 4e9 samples per second", lambda: wav(2**32 - 1, 1, 100)


def videos() -> Iterator[tuple[str, Callable[[], bytes]]]:
    import av

    def movie(width: int, height: int, frames: int, codec: str, kind: str) -> bytes:
        file = io.BytesIO()
        with av.open(file, "w", format=kind) as container:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = width, height, "rgb24" if codec == "png" else "yuv420p"
            picture = av.VideoFrame.from_ndarray(np.zeros((height, width, 3), dtype=np.uint8), format="rgb24")
            for _ in range(frames):
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
        return file.getvalue()

    yield "video of 100,000 frames", lambda: movie(16, 16, 100_000, "mpeg4", "mp4")
    yield "video of 81 megapixels", lambda: movie(9000, 9000, 1, "png", "avi")


def arrays(folder: Path) -> Iterator[tuple[str, Callable[[], Path]]]:
    def npy(name: str, descr: str, shape: str) -> Callable[[], Path]:
        head = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
        data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + bytes(100)
        return lambda: written(folder / f"{name}.npy", data)

    yield "npy that claims 10 GB", npy("ten", "'<f4'", "(2500000000,)")
    yield "npy that claims 10^18 numbers", npy("many", "'<f8'", "(1000000000, 1000000000)")
    yield "npy of texts of 1 GB", npy("texts", "'<U250000000'", "(1,)")
    yield "npy of objects", npy("objects", "'|O'", "(3,)")
    told = json.dumps({"x": {"dtype": "F32", "shape": [2_500_000_000], "data_offsets": [0, 10**10]}}).encode()
    told = struct.pack("<Q", len(told)) + told + bytes(16)
    yield "safetensors that claim 10 GB", lambda: written(folder / "ten.safetensors", told)


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def texts() -> Iterator[tuple[str, Callable[[], str]]]:
    yield "10 MB of one word", lambda: "a" * 10_000_000
    yield "a million tokens", lambda: "ab " * 1_000_000
    yield "10 MB of spaces", lambda: " " * 10_000_000 + "x"
    yield "a million accents on one letter", lambda: "a" + "\u0300\u0323" * 500_000
    yield "10 MB of half characters", lambda: "\ud800" * 10_000_000


def bodies() -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """What a server is sent, as arguments of a call."""
    kind = {"content-type": "application/json"}
    zipped = kind | {"content-encoding": "gzip"}
    yield "gzip of 100 MB", lambda: {"content": gzip.compress(bytes(10**8)), "headers": zipped}
    yield "a million brackets", lambda: {"content": b'{"samples": ' + b"[" * DEEP, "headers": kind}
    yield (
        "six million empty objects",
        lambda: {"content": b'{"samples": [' + b"{}," * 6_000_000 + b"{}]}", "headers": kind},
    )
    yield (
        "4.5 million numbers",
        lambda: {
            "content": b'{"samples": [{"numbers": [' + b"1.5," * 4_500_000 + b"1]}]}",
            "headers": kind,
        },
    )
    yield "21 MB", lambda: {"content": bytes(21_000_000), "headers": kind}
    yield "21 MB in parts", lambda: {"content": (bytes(100_000) for _ in range(210)), "headers": kind}
    yield "a length of 5,000 digits", lambda: {"content": b"{}", "headers": kind | {"content-length": "9" * 5000}}
    yield (
        "a number of a million digits",
        lambda: {
            "content": b'{"samples": [{"age": ' + b"9" * DEEP + b"}]}",
            "headers": kind,
        },
    )
    yield "10,000 fields of a form", lambda: {"files": {f"words{n}": (None, "x") for n in range(10_000)}}
    nested = b'{"samples": [{"words": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}]}"
    yield "a value that is nested deeply", lambda: {"content": nested, "headers": kind}


def samples() -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """Values that a server takes, and that its pipeline has to refuse, or to read without harm."""
    yield "a picture of 88 megapixels", lambda: {"picture": base64.b64encode(png(9400, 9400)).decode()}
    yield "a word of 10 MB", lambda: {"words": "a" * 10_000_000}


def server() -> TestClient:
    from mmsdk_serve import application

    picture = {"modality": {"type": "image", "size": 8}, "encoder": {"type": "cnn", "width": 8, "layers": 1}}
    age = {"modality": {"type": "tabular", "numbers": ["age"]}, "encoder": {"type": "mlp", "width": 8}}
    streams = {"words": pipelines.TEXT, "numbers": pipelines.NUMBERS, "picture": picture, "facts": age}
    own = pipelines.pipeline(pipelines.config(streams=streams))
    return TestClient(application({"shop": own}), raise_server_exceptions=False)


def bombs(folder: Path) -> Iterator[Bomb]:
    yield Bomb(CONTROL, lambda: 40_000_000, np.ones)
    pictures, features = Pictures(size=32), Features()
    features.fit([[1.0, 2.0]])
    for kind in ("words", "bpe", "bytes"):
        words = Text(kind, max_length=64)  # type: ignore[arg-type]
        words.fit(["ab a x"] * 3)
        yield from (Bomb(f"{name}, in {kind}", make, words.prepare) for name, make in texts())
    yield from (Bomb(name, make, pictures.prepare) for name, make in images())
    yield from (Bomb(name, make, features.prepare) for name, make in arrays(folder))
    table = Tabular(["age"])
    table.fit([{"age": 1}])
    yield Bomb("a cell of a million digits", lambda: {"age": "9" * DEEP}, table.prepare)
    nine = {name: ",".join([f"*{before}"] * 9) for before, name in pairwise("abcdefghi")}
    aliases = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(f"{name}: &{name} [{each}]\n" for name, each in nine.items())
    yield Bomb("yaml of aliases of aliases", lambda: aliases, lambda text: parse_yaml(text, "config"))
    yield Bomb("yaml that is nested deeply", lambda: "[" * 100_000, lambda text: parse_yaml(text, "config"))
    deep = written(folder / "deep.jsonl", b'{"a": ' + b"[" * DEEP)
    yield Bomb("a row that is nested deeply", lambda: deep, lambda path: list(read_rows(path)))
    yield from optional(folder)


def optional(folder: Path) -> Iterator[Bomb]:
    """Those of plugins."""
    from mmsdk_speech.decoding import sound_of
    from mmsdk_video.clip import Clips

    yield from (Bomb(name, make, lambda data: sound_of(data, 30)) for name, make in sounds())
    yield from (Bomb(name, make, Clips(size=16, frames=4).prepare) for name, make in videos())
    with server() as client:
        client.post("/pipelines/shop/predict", json={"samples": [{"words": "w1"}]})  # so that all is loaded

        def call(arguments: dict[str, Any]) -> int:
            return client.post("/pipelines/shop/predict", **arguments).status_code

        def told(sample: dict[str, Any]) -> Any:
            answer = client.post("/pipelines/shop/predict", json={"samples": [sample, {"words": "w1"}]})
            assert answer.status_code == 200, answer.text
            first, second = answer.json()["results"]
            assert "predictions" in second
            return 422 if "error" in first else 200

        yield from (Bomb(f"server: {name}", make, call) for name, make in bodies())
        yield from (Bomb(f"server: {name}", make, told) for name, make in samples())


def main(folder: Path) -> None:
    for bomb in bombs(folder):
        print(bomb.name, file=sys.stderr, flush=True)
        small = bomb.make()
        watch.reset_peak()
        before, begun = watch.memory("VmRSS"), time.perf_counter()
        try:
            found = bomb.read(small)
            outcome = found if isinstance(found, int) else f"read: {type(found).__name__}"
        except MmsdkError as error:
            outcome = f"refused: {error}"[:300]
        except BaseException as error:
            outcome = f"broke: {type(error).__name__}: {error}"[:300]
        seconds, gained = time.perf_counter() - begun, watch.memory("VmHWM") - before
        print(json.dumps({"name": bomb.name, "outcome": outcome, "seconds": seconds, "gained": gained}), flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    mmsdk.load_config(pipelines.config())
    main(Path(sys.argv[1]))
