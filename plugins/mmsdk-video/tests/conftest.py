"""What the tests share: video files, written by PyAV."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

Array = np.ndarray[Any, Any]
CODECS = {
    "mp4": ("libx264", "aac"),
    "mov": ("mjpeg", "pcm_s16le"),
    "webm": ("libvpx", "libopus"),
    "matroska": ("libx264", "flac"),
    "avi": ("mjpeg", "pcm_s16le"),
}


def _write(
    path: Path,
    pictures: Array | None,
    sound: Array | None = None,
    *,
    format: str = "mp4",
    codec: str | None = None,
    fps: int = 8,
    rate: int = 16_000,
    options: dict[str, str] | None = None,
) -> None:
    with av.open(str(path), "w", format=format, options=options or {}) as container:
        streams: list[tuple[Any, Any]] = []
        if pictures is not None:
            video: Any = container.add_stream(codec or CODECS[format][0], rate=fps)
            video.height, video.width = pictures.shape[1:3]
            video.pix_fmt = "yuvj420p" if video.codec_context.name == "mjpeg" else "yuv420p"
            streams += [(video, av.VideoFrame.from_ndarray(picture, format="rgb24")) for picture in pictures]
            streams.append((video, None))
        if sound is not None:
            own: Any = container.add_stream(
                CODECS[format][1], rate=rate, layout="stereo" if sound.ndim == 2 else "mono"
            )
            samples = np.ascontiguousarray(np.atleast_2d(sound), dtype=np.float32)  # [channels, time]
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=own.layout.name)
            frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
            streams += [(own, frame), (own, None)]
        for stream, each in streams:
            for packet in stream.encode(each):
                container.mux(packet)


@pytest.fixture(scope="session")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., bytes]:
    """The bytes of a video file: pictures [n, height, width, 3] uint8, sound [time] or [2, time], and options."""
    path = tmp_path_factory.mktemp("movies") / "movie"

    def write(*arguments: Any, **options: Any) -> bytes:
        _write(path, *arguments, **options)
        return path.read_bytes()

    return write


@pytest.fixture(scope="session")
def steps() -> Callable[..., Array]:
    """Pictures of which frame i is all of the grey 10 * i: count, height, width."""

    def made(count: int = 16, height: int = 32, width: int = 48) -> Array:
        greys = 10 * np.arange(count, dtype=np.uint8)
        return np.broadcast_to(greys[:, None, None, None], (count, height, width, 3)).copy()

    return made
