"""Video files, opened so that nothing but their own bytes is ever read: no URL, no playlist, no second file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from reprlib import repr as shown
from typing import Any, BinaryIO, Literal, NoReturn

import av
from av.container import InputContainer
from av.frame import Frame
from av.packet import Packet

from mmsdk import DecodeError, decoding, existing_file
from mmsdk_video.boxes import check_boxes

EXPECTED = "an MP4, MOV, MKV, WebM or AVI file"
PICTURES = {"h264", "hevc", "vp8", "vp9", "libdav1d", "mpeg4", "mjpeg"}
SOUNDS = {"aac", "mp3", "mp3float", "opus", "vorbis", "flac", "alac"}
SOUNDS |= {"pcm_u8", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_f32le"}
"""The decoders that are used at all: each further one would be a further way in."""
MAX_PIXELS = 4096 * 2160
STREAMS = 32
"""A file has a picture, some sounds, some subtitles."""


class Track:
    """One stream of an open file.

    name: what messages call the file. seconds: how long it lasts, as its header says; None where it says nothing.
    """

    def __init__(self, container: InputContainer, kind: Literal["video", "audio"], name: str) -> None:
        stream: Any = container.streams.best(kind)
        if stream is None:
            raise DecodeError(f"{name} has no {'pictures' if kind == 'video' else 'sound track'}")
        decoder = stream.codec_context.name if stream.codec_context is not None else "none that is known"
        if decoder not in PICTURES | SOUNDS:
            read = ", ".join(sorted(PICTURES if kind == "video" else SOUNDS))
            raise DecodeError(f"the codec of {name} is not read: {decoder}; read are {read}")
        stream.codec_context.thread_count = 1  # loading runs in several processes as it is
        self.container, self.stream, self.name = container, stream, name
        self._origin = (container.start_time or 0) / av.time_base  # of the whole file, so that its streams stay in step
        own = float(stream.duration * stream.time_base) if stream.duration else None
        self.seconds = own or (container.duration / av.time_base if container.duration else None)

    @property
    def step(self) -> float:
        """From one frame of a video to the next, on average, in seconds."""
        return 1 / float(self.stream.average_rate or 25)

    def seconds_of(self, stamp: int) -> float:
        """A time stamp in seconds from the beginning of the file."""
        return float(stamp * self.stream.time_base) - self._origin

    def time(self, stamped: Packet[Any] | Frame) -> float | None:
        """When a packet or a frame begins, in seconds from the beginning of the file."""
        stamp = stamped.pts if stamped.pts is not None else stamped.dts
        return None if stamp is None else self.seconds_of(stamp)

    def packets(self, start: float) -> Iterator[Packet[Any]]:
        """From the last point at or before `start` where decoding can begin; the very last packet flushes."""
        if start > 0:
            self.container.seek(int((start + self._origin) / self.stream.time_base), stream=self.stream)
        for packet in self.container.demux(self.stream):
            if packet.is_corrupt:
                raise DecodeError(f"{self.name} is damaged or cut off at second {self.time(packet) or 0:.1f}")
            yield packet

    def frames(self, start: float) -> Iterator[Any]:
        """Frames of pictures or of sound, decoded."""
        for packet in self.packets(start):
            yield from self.stream.decode(packet)


def lengths(paths: Iterable[Path]) -> Iterator[float]:
    """How many seconds videos last, as their headers tell it; without those that cannot be read."""
    for path in paths:
        with suppress(DecodeError), opened(path, "video") as track:
            if track.seconds is not None:
                yield track.seconds


@contextmanager
def opened(value: Any, kind: Literal["video", "audio"], max_pixels: int = MAX_PIXELS) -> Iterator[Track]:
    """The pictures or the sound track of a path or of the bytes of a file.

    Raises:
        DecodeError: it cannot be opened, or whatever FFmpeg says while it is read.
    """
    if not isinstance(value, str | Path | bytes | bytearray | memoryview):
        raise DecodeError(f"expected a video: the path of {EXPECTED}, or its bytes; got {shown(value)}")
    name = f"the video '{value}'" if isinstance(value, str | Path) else "the video"
    with decoding(name, EXPECTED), _bytes_of(value) as source:
        options = {
            "codec_whitelist": ",".join(sorted(PICTURES | SOUNDS)),
            "enable_drefs": "0",  # a QuickTime file can say that its pictures are in another file
            "max_pixels": str(max_pixels),
            "max_streams": str(STREAMS),
            "protocol_whitelist": "none",
        }
        demuxer = _demuxer(source.read(12))
        if demuxer == "mov":
            check_boxes(source)
        source.seek(0)
        with av.open(
            source, "r", format=demuxer, options=options, io_open=_refuse, metadata_errors="replace"
        ) as container:
            yield Track(container, kind, name)


def _bytes_of(value: str | Path | bytes | bytearray | memoryview) -> BinaryIO:
    return existing_file(Path(value)).open("rb") if isinstance(value, str | Path) else BytesIO(value)


def _demuxer(beginning: bytes) -> str:
    """Chosen by us and not by FFmpeg, which would also find playlists, scripts and lists of pictures."""
    if beginning[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return "mov"
    if beginning[:4] == b"\x1a\x45\xdf\xa3":
        return "matroska"
    if beginning[:4] == b"RIFF" and beginning[8:12] == b"AVI ":
        return "avi"
    raise ValueError("it is no video, or damaged" if beginning else "it is empty")


def _refuse(url: str, flags: int, options: dict[str, str]) -> NoReturn:
    """Called by FFmpeg for whatever else a file wants to have opened."""
    raise PermissionError(f"it refers to another file or address, '{url}'")
