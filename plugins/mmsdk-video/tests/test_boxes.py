"""Small files whose headers would cost gigabytes: refused by what they say, before FFmpeg believes it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from typing import Any

import av
import pytest

from mmsdk import DecodeError
from mmsdk_video.boxes import check_boxes
from mmsdk_video.clip import Clips

MILLION = 10**6
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}


def box(kind: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def changed(file: bytes, mark: bytes, offset: int, *numbers: int) -> bytes:
    place = file.index(mark) + offset
    value = struct.pack(f">{len(numbers)}I", *numbers)
    return file[:place] + value + file[place + len(value) :]


def refused(file: bytes, message: str) -> None:
    with pytest.raises(DecodeError, match=message):
        Clips().prepare(file)


def test_more_samples_than_bytes_are_refused(movie: Callable[..., bytes], steps: Callable[..., Any]) -> None:
    """One size for all samples, so that the header needs no more room for a million of them."""
    file = changed(movie(steps(8)), b"stsz", 8, 1, MILLION)
    file = changed(changed(file, b"stts", 8, 1, MILLION, 1), b"stsc", 8, 1, 1, MILLION, 1)
    with av.open(BytesIO(file)) as container:
        assert container.streams.video[0].frames == MILLION  # so FFmpeg would believe it
    refused(file, r"its header counts 1000000 frames and blocks of sound, more than it has bytes")


def test_so_are_those_of_fragments(movie: Callable[..., bytes], steps: Callable[..., Any]) -> None:
    file = movie(steps(8), options=FRAGMENTS)
    assert len(Clips().prepare(file)) == 8
    refused(changed(file, b"trun", 8, MILLION), "its header counts 10000")
    many = box(b"moof", box(b"traf", box(b"trun", struct.pack(">II", 0, len(file))) * 2))
    refused(file + many, "more than it has bytes")


def test_counts_are_found_wherever_they_stand(movie: Callable[..., bytes], steps: Callable[..., Any]) -> None:
    count = box(b"stsz", struct.pack(">III", 0, 1, MILLION))
    for around in (b"free", b"udta", b"abcd", b"moov"):
        refused(movie(steps(2)) + box(around, box(b"trak", count)), "more than it has bytes")


def test_a_compressed_header_is_refused() -> None:
    header = zlib.compress(box(b"moov") + bytes(10 * MILLION))
    packed = box(b"cmov", box(b"dcom", b"zlib") + box(b"cmvd", struct.pack(">I", 10 * MILLION) + header))
    refused(box(b"ftyp", b"qt  \0\0\0\0qt  ") + box(b"moov", packed), "its header is compressed")


@pytest.mark.parametrize(
    "end", [struct.pack(">I", 7) + b"free", struct.pack(">I", 2**31) + b"free", struct.pack(">I4sQ", 1, b"mdat", 3)]
)
def test_boxes_that_do_not_follow_one_another_are_refused(
    end: bytes, movie: Callable[..., bytes], steps: Callable[..., Any]
) -> None:
    refused(movie(steps(2)) + end + bytes(20), "its parts do not follow one another")


def test_usual_files_pass(movie: Callable[..., bytes], steps: Callable[..., Any]) -> None:
    for options in ({}, {"movflags": "faststart"}, FRAGMENTS):
        for end in (b"", b"\0\0\0", bytes(30), struct.pack(">I4sQ", 1, b"mdat", 20) + bytes(4)):
            check_boxes(BytesIO(movie(steps(4), options=options) + end))
