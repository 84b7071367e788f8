"""Which frames of a video are taken, and taking them."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
from av import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from mmsdk import DecodeError
from mmsdk_video.files import MAX_PIXELS, Track, opened
from mmsdk_video.window import TOLERANCE, Window

Clip = NDArray[np.uint8]

CUT_OFF = 0.5
"""In seconds: a file that ends this much earlier than its header says, and by a tenth, is incomplete."""


class Limits(NamedTuple):
    """How many frames are decoded, and are taken, at most, and how many pixels each may have."""

    frames: int = 3_600
    pixels: int = MAX_PIXELS

    def check(self, frames: int, width: int, height: int, name: str) -> None:
        if frames > self.frames:
            raise DecodeError(
                f"{name} has {frames} frames or more to decode; at most {self.frames} are read: "
                "read a part of it with 'start' and 'seconds', or raise 'max_frames'"
            )
        if width * height > self.pixels:
            raise DecodeError(f"{name} has {width} x {height} pixels; at most {self.pixels} are read: 'max_pixels'")


def clip_of(
    value: Any,
    size: tuple[int, int],
    *,
    frames: int | None = 8,
    rate: float | None = None,
    resize: Literal["stretch", "crop"] = "stretch",
    window: Window,
    limits: Limits,
) -> Clip:
    """Frames [length, height, width, 3] of a file or of its bytes, resized to `size`, which is (height, width).

    rate: as many frames per second; or else frames: as many, from the middles of equal parts of the window.

    Raises:
        DecodeError: the file cannot be read, has no pictures in the window, or is beyond a limit.
    """
    with opened(value, "video", limits.pixels) as track:
        times = moments(window.start, _end(track, window, limits), frames, rate)
        limits.check(len(times), 0, 0, track.name)
    with opened(value, "video", limits.pixels) as track:
        resized, decoded = Resizer(*size, resize), _decoded(track, window.start, limits)
        taken = [(resized(frame), count) for frame, count in shown(times, decoded)]
        if not taken:
            raise DecodeError(f"{track.name} holds no picture that can be decoded")
    pictures, counts = zip(*taken, strict=True)
    return np.repeat(np.stack(pictures), counts, axis=0)


def moments(start: float, end: float, frames: int | None, rate: float | None) -> list[float]:
    """The seconds at which frames are taken: `rate` times a second, or in the middles of `frames` equal parts."""
    if rate is not None:
        return [start + place / rate for place in range(max(1, math.ceil((end - start - TOLERANCE) * rate)))]
    assert frames is not None
    return [start + (place + 0.5) * (end - start) / frames for place in range(frames)]


def shown(times: Iterable[float], decoded: Iterable[tuple[float, VideoFrame]]) -> Iterator[tuple[VideoFrame, int]]:
    """The frames that are on the screen at these times, each with the number of times that it is.

    decoded: frames and when they appear, in order. What appears after the first time stands for it all the same.
    """
    waiting = deque(times)
    current: VideoFrame | None = None
    for time, frame in decoded:
        count = 0
        while current is not None and waiting and waiting[0] < time - TOLERANCE:
            waiting.popleft()
            count += 1
        if current is not None and count:
            yield current, count
        if not waiting:
            return
        current = frame
    if current is not None:
        yield current, len(waiting)


def _end(track: Track, window: Window, limits: Limits) -> float:
    """The second at which the pictures in the window end: first what the header says of it, then what is there."""
    codec, name = track.stream.codec_context, track.name
    whole = window.seconds is None and not window.start
    if not codec.width:
        raise DecodeError(
            f"{name} does not say how large its frames are, or they have more than {limits.pixels} pixels"
        )
    limits.check(track.stream.frames if whole else 0, codec.width, codec.height, name)
    if track.seconds is not None:
        window.check(track.seconds, name)
    count, end = 0, 0.0
    for packet in track.packets(window.start):
        time = track.time(packet)
        if not packet.size or time is None:
            continue
        if packet.dts is not None and track.seconds_of(packet.dts) >= window.end and window.seconds is not None:
            break
        count += 1
        limits.check(count, 0, 0, name)
        if not packet.is_discard:  # as what was cut away on a telephone is, which stays in the file
            end = max(end, time + (float(packet.duration * packet.time_base) if packet.duration else track.step))
            window.check(end, name)
    else:
        declared = float(track.stream.duration * track.stream.time_base) if track.stream.duration else 0.0
        if declared - end > max(CUT_OFF, declared / 10):
            raise DecodeError(f"{name} is cut off: it should last {declared:.1f} seconds, and ends after {end:.1f}")
    window.check_reached(end, name)
    return min(end, window.end)


def _decoded(track: Track, start: float, limits: Limits) -> Iterator[tuple[float, VideoFrame]]:
    """Every frame from the last one at or before `start` where decoding can begin, and when it appears."""
    track.stream.codec_context.options = {"max_pixels": str(limits.pixels)}  # a frame can be larger than the header
    last = -math.inf
    for count, frame in enumerate(track.frames(start), start=1):
        limits.check(count, frame.width, frame.height, track.name)
        time = track.time(frame)
        # Some AVI files have no time stamps, or some that go back: frames come in their order all the same.
        last = max(last, 0) + track.step if time is None else max(last, time)
        yield last, frame


class Resizer:
    """Brings frames to one size, as pixels [height, width, 3], upright."""

    def __init__(self, height: int, width: int, resize: str) -> None:
        self.height, self.width, self.resize = height, width, resize
        self._scaler = VideoReformatter()

    def __call__(self, frame: VideoFrame) -> Clip:
        turns = round(frame.rotation / 90) % 4  # as a telephone was held
        height, width = (self.width, self.height) if turns % 2 else (self.height, self.width)
        if self.resize == "crop":
            frame = self._cropped(frame, width / height)
        return np.ascontiguousarray(np.rot90(self._pixels(frame, height, width), turns))

    def _pixels(self, frame: VideoFrame, height: int, width: int) -> Clip:
        # One thread: by default FFmpeg starts as many as there are cores, for every frame.
        small = self._scaler.reformat(frame, width, height, "rgb24", interpolation="BICUBIC", threads=1)
        return np.asarray(small.to_ndarray(), dtype=np.uint8)

    def _cropped(self, frame: VideoFrame, shape: float) -> VideoFrame:
        """The middle of a frame, as large as can be, where width / height is `shape`."""
        height, width = frame.height, frame.width
        new_width, new_height = min(width, max(1, round(height * shape))), min(height, max(1, round(width / shape)))
        left, top = (width - new_width) // 2, (height - new_height) // 2
        middle = self._pixels(frame, height, width)[top : top + new_height, left : left + new_width]
        return VideoFrame.from_ndarray(np.ascontiguousarray(middle), format="rgb24")
