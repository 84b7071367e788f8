"""Which frames are taken, in every kind of file; time windows, sizes, and limits that hold whatever a header says."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mmsdk import DecodeError
from mmsdk_video.files import Track
from mmsdk_video.pictures import Limits, clip_of, moments, shown
from mmsdk_video.window import Window

FORMATS = ["mp4", "mov", "webm", "matroska", "avi"]


def taken(file: bytes, **options: Any) -> list[int]:
    """The numbers of the frames that are taken of a file of `steps`."""
    clip = clip_of(file, (16, 16), **{"window": Window(), "limits": Limits(), "frames": None, **options})
    assert clip.dtype == np.uint8 and clip.shape[1:] == (16, 16, 3) and clip.flags.writeable
    greys = clip.reshape(len(clip), -1)
    assert np.ptp(greys.astype(int), axis=1).max() <= 6  # of one grey all over
    return [round(float(grey) / 10) for grey in greys.mean(axis=1)]


def test_moments_are_the_middles_of_equal_parts() -> None:
    assert moments(0, 2, 4, None) == [0.25, 0.75, 1.25, 1.75]
    assert moments(3, 5, 1, None) == [4]
    assert moments(1, 1, 2, None) == [1, 1]


def test_moments_of_a_rate_end_with_the_clip() -> None:
    assert moments(0, 2, None, 2) == [0, 0.5, 1, 1.5]
    assert moments(1, 2.1, None, 2) == [1, 1.5, 2]
    assert moments(0, 2.0005, None, 2) == [0, 0.5, 1, 1.5]  # a time stamp that was rounded makes no further frame
    assert moments(1, 1, None, 25) == [1]


def test_a_frame_is_shown_until_the_next_one_appears() -> None:
    frames: Any = [(0.0, "a"), (0.5, "b"), (0.5, "c"), (1.0, "d")]
    assert list(shown([0, 0.2, 0.4999, 0.6, 3, 4], frames)) == [("a", 2), ("c", 2), ("d", 2)]
    assert list(shown([-1], frames)) == [("a", 1)]
    assert list(shown([1], [])) == []


@pytest.mark.parametrize("format", FORMATS)
def test_frames_are_spread_evenly(format: str, movie: Callable[..., bytes], steps: Callable[..., Any]) -> None:
    file = movie(steps(16), format=format)
    assert taken(file, frames=16) == list(range(16))
    assert taken(file, frames=4) == [2, 6, 10, 14]
    assert taken(file, frames=1) == [8]
    assert taken(file, frames=32) == [number // 2 for number in range(32)]  # more than there are: some twice


@pytest.mark.parametrize("format", FORMATS)
def test_a_rate_takes_the_frames_on_the_screen(
    format: str, movie: Callable[..., bytes], steps: Callable[..., Any]
) -> None:
    file = movie(steps(16), format=format)
    assert taken(file, rate=8.0) == list(range(16))
    assert taken(file, rate=2.0) == [0, 4, 8, 12]
    assert taken(file, rate=3.0) == [0, 2, 5, 8, 10, 13]
    assert taken(file, rate=16.0) == [number // 2 for number in range(32)]


@pytest.mark.parametrize("format", FORMATS)
def test_a_window_is_read_alone(format: str, movie: Callable[..., bytes], steps: Callable[..., Any]) -> None:
    file = movie(steps(24), format=format)
    assert taken(file, frames=4, window=Window(1.0, 0.5)) == [8, 9, 10, 11]
    assert taken(file, rate=8.0, window=Window(0.5, 0.375)) == [4, 5, 6]
    assert taken(file, rate=8.0, window=Window(2.75)) == [22, 23]
    assert taken(file, frames=2, window=Window(2.5, 100)) == [21, 23]  # no further than the file
    with pytest.raises(DecodeError, match=r"ends at second \d\.\d; 'start' is 30"):
        taken(file, frames=1, window=Window(30))


def test_a_window_of_a_long_file_is_not_too_long(movie: Callable[..., bytes], steps: Callable[..., Any]) -> None:
    many = np.repeat(steps(24), 5, axis=0)
    file = movie(many)
    limits = Limits(frames=60)  # with those since the last point where decoding can begin
    assert taken(file, frames=2, window=Window(1.25, 1.25, 1.0), limits=limits) == [2, 3]
    with pytest.raises(DecodeError, match="120 frames or more to decode; at most 60 are read"):
        taken(file, frames=2, limits=limits)


@pytest.mark.parametrize(("height", "width"), [(32, 48), (48, 32), (2, 2), (2, 120)])
@pytest.mark.parametrize("resize", ["stretch", "crop"])
def test_sizes(resize: Any, height: int, width: int, movie: Callable[..., bytes], steps: Callable[..., Any]) -> None:
    file = movie(steps(2, height, width), format="avi")
    clip = clip_of(file, (10, 14), frames=2, resize=resize, window=Window(), limits=Limits())
    assert clip.shape == (2, 10, 14, 3) and np.abs(clip[1].astype(int) - 10).max() <= 2


def test_stretching_keeps_the_edges_and_cropping_the_proportions(movie: Callable[..., bytes]) -> None:
    pictures = np.zeros((4, 32, 64, 3), dtype=np.uint8)
    pictures[:, :, :16] = (250, 0, 0)
    pictures[:, :, 48:] = (0, 0, 250)
    file = movie(pictures)
    stretched, cropped = (
        clip_of(file, (16, 16), frames=1, resize=resize, window=Window(), limits=Limits())[0].astype(int)
        for resize in ("stretch", "crop")
    )
    assert stretched[8, 1, 0] > 200 and stretched[8, 1, 2] < 50 and stretched[8, 14, 2] > 200
    assert cropped[:, 2:14].max() < 30  # the middle half, which is black


def test_a_clip_is_turned_as_its_header_says(movie: Callable[..., bytes]) -> None:
    pictures = np.zeros((2, 32, 64, 3), dtype=np.uint8)
    pictures[:, :, :32] = 240  # white at the left
    file = bytearray(movie(pictures))
    place = file.index(b"tkhd") + 4 + 40
    assert struct.unpack(">9i", file[place : place + 36])[::4] == (1 << 16, 1 << 16, 1 << 30)
    file[place : place + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 32 << 16, 0, 1 << 30)
    clip = clip_of(bytes(file), (16, 8), frames=1, window=Window(), limits=Limits())[0].astype(int)
    assert clip.shape == (16, 8, 3) and clip[:7].min() > 200 and clip[9:].max() < 40  # clockwise: white at the top


def test_what_was_cut_away_on_a_telephone_is_not_seen(movie: Callable[..., bytes], steps: Callable[..., Any]) -> None:
    """An edit list says which part of the file is the clip."""
    file = bytearray(movie(steps(24)))
    place = file.index(b"elst") + 12
    media = struct.unpack(">I", file[place + 4 : place + 8])[0]
    file[place : place + 8] = struct.pack(">II", 1_000, media + 16_384)  # in milliseconds, in ticks: the second second
    assert taken(bytes(file), rate=8.0) == list(range(8, 16)) and taken(bytes(file), frames=2) == [10, 14]


def limit(file: bytes, message: str, **options: Any) -> None:
    with pytest.raises(DecodeError, match=message):
        taken(file, **{"frames": 2, **options})


@pytest.mark.parametrize("format", FORMATS)
def test_limits_hold_before_anything_is_decoded(
    format: str, movie: Callable[..., bytes], steps: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Track, "frames", lambda *_: pytest.fail("decoded"))
    file = movie(steps(24), format=format)
    limit(file, r"lasts 3\.0 seconds or more; at most 2 are read: .*'max_seconds'", window=Window(longest=2))
    limit(file, "or more to decode; at most 20 are read", limits=Limits(frames=20))
    limit(file, "more than 1000 pixels|48 x 32 pixels; at most 1000 are read", limits=Limits(pixels=1000))
    limit(file, "2880 frames or more", frames=None, rate=960.0, limits=Limits(frames=2000))


def test_headers_are_asked_first(
    movie: Callable[..., bytes], steps: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Track, "packets", lambda *_: pytest.fail("read"))
    file = movie(steps(24))
    limit(file, "lasts 3.0 seconds", window=Window(longest=2))
    limit(file, "24 frames or more", limits=Limits(frames=20))
    limit(file, "48 x 32 pixels", limits=Limits(pixels=1000))


def lying(file: bytes, mark: bytes, offset: int, value: bytes) -> bytes:
    place = file.index(mark) + offset
    return file[:place] + value + file[place + len(value) :]


def test_a_header_that_lies_gains_nothing(movie: Callable[..., bytes], steps: Callable[..., Any]) -> None:
    avi = movie(steps(24), format="avi")
    two_frames = lying(lying(avi, b"strh", 40, struct.pack("<I", 2)), b"avih", 24, struct.pack("<I", 2))
    limit(two_frames, "21 frames or more", limits=Limits(frames=20))
    limit(two_frames, "at most 2 are read", window=Window(longest=2))
    webm = movie(steps(24), format="webm")
    short = lying(webm, b"\x44\x89\x88", 3, struct.pack(">d", 100.0))  # the element Duration, in milliseconds
    limit(short, "at most 2 are read", window=Window(longest=2))
    mov = movie(steps(24), format="mov")
    small = lying(mov, b"jpeg\0\0\0\0\0\0\0\1", 28, struct.pack(">HH", 8, 8))
    limit(small, "more than 1000 pixels", limits=Limits(pixels=1000))
    limit(lying(avi, b"strh", 40, struct.pack("<I", 10**6)), "1000000 frames or more")
    limit(movie(steps(24), fps=1), r"lasts 24\.0 seconds or more", window=Window(longest=20))


def test_what_is_cut_off_is_refused(movie: Callable[..., bytes], steps: Callable[..., Any]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (24, 32, 48, 3), dtype=np.uint8)
    for format, options in (("mp4", {"movflags": "faststart"}), ("mp4", {}), ("mov", {}), ("avi", {})):
        file = movie(noise, format=format, options=options)
        limit(file[: len(file) // 2], "cut off|damaged|cannot read the video")
    limit(movie(noise, options={"movflags": "faststart"})[:-2_000], "damaged or cut off at second 2")


@pytest.mark.parametrize("codec", ["ffv1", "rawvideo", "mpeg2video"])
def test_codecs_that_are_not_listed_are_not_opened(
    codec: str, movie: Callable[..., bytes], steps: Callable[..., Any]
) -> None:
    name = "mpeg2video" if codec == "mpeg2video" else codec
    limit(movie(steps(4), format="matroska", codec=codec, fps=25), f"codec of the video is not read: {name}; read are")


@pytest.mark.parametrize("codec", ["mpeg4", "libx265", "libvpx-vp9", "libsvtav1"])
def test_other_codecs(codec: str, movie: Callable[..., bytes], steps: Callable[..., Any]) -> None:
    file = movie(steps(16, 64, 64), format="matroska", codec=codec)
    assert taken(file, frames=4) == [2, 6, 10, 14]
