"""Headers of MP4 and QuickTime files that would cost gigabytes, looked for before FFmpeg reads them.

FFmpeg keeps some 70 bytes for each sample (a frame, a block of sound) that a header counts, and unpacks a compressed
header whole: 3 kilobytes could take 4 gigabytes.
"""

from __future__ import annotations

import re
import struct
from typing import BinaryIO

LARGEST = 64 * 2**20
"""Bytes of a box other than that of the pictures and the sound: a day of video has headers of a few megabytes."""
# Where samples are counted: "stsz" has its version and the size of a sample before it, "trun" its version alone.
COUNTS = re.compile(rb"stsz(?=.{8}(.{4}))|trun(?=.{4}(.{4}))", re.DOTALL)
COMPRESSED = b"dcomzlib"


def check_boxes(file: BinaryIO) -> None:
    """Raise a ValueError where the boxes of a file do not follow one another, or count more samples than it has bytes.

    Within a box everything is searched, as FFmpeg also finds what stands in a strange place.
    """
    size, begin, samples = file.seek(0, 2), 0, 0
    while begin + 8 <= size:
        file.seek(begin)
        head = file.read(16).ljust(16, b"\0")
        length, kind = struct.unpack_from(">I4s", head)
        if length == 1:
            (length,) = struct.unpack_from(">Q", head, 8)
        elif length == 0:
            length = size - begin
        if length < 8 or (kind != b"mdat" and length > LARGEST):
            raise ValueError("it is damaged: its parts do not follow one another")
        if kind != b"mdat":
            file.seek(begin)
            content = file.read(length)
            if COMPRESSED in content:
                raise ValueError("its header is compressed, which is not read")
            counts = (found[1] or found[2] for found in COUNTS.finditer(content))
            samples += sum(int.from_bytes(count) for count in counts)
        begin += length
    if samples > size:
        raise ValueError(f"its header counts {samples} frames and blocks of sound, more than it has bytes")
