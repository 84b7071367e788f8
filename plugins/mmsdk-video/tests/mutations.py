"""Reads mutated video files, in a process of its own: python mutations.py FOLDER FIRST LAST.

Mutation number n of the files in FOLDER is the same each time. Prints, as JSON, how many could be read and refused, the
slowest one in seconds, and by how many megabytes the process grew. Anything but a DecodeError ends it.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np

from mmsdk import DecodeError
from mmsdk_video.clip import Clips
from mmsdk_video.sound import Sounds

EXTREMES = [b"\xff" * 4, b"\0" * 4, b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\x7f\xff\xff\xff", b"\0\0\0\1", b"\1\0\0\0"]
MEMORY = 8 * 2**30
"""Bytes of address space; torch takes a part of it. What wants more fails, as it would on a small machine."""


def mutated(files: list[bytes], number: int) -> bytes:
    """Bits flipped, cut off, spliced with another file, bytes deleted or repeated, header fields overwritten."""
    rng = np.random.default_rng(number)
    changed = bytearray(files[number % len(files)])
    for _ in range(int(rng.integers(1, 5))):
        if len(changed) < 16:
            break
        # Half of the time at a field of the headers, which stand around four letters or at the beginning.
        marks = [place for place in range(4, len(changed) - 12) if changed[place : place + 4].isalpha()]
        if rng.random() < 0.5 and marks:
            place = int(rng.choice(marks)) + int(rng.integers(-4, 12))
        else:
            place = int(rng.integers(0, len(changed) if rng.random() < 0.5 else min(len(changed), 600)))
        kind = int(rng.integers(0, 7))
        if kind == 0:
            changed[place] ^= 1 << int(rng.integers(0, 8))
        elif kind == 1:
            changed[place : place + 4] = EXTREMES[int(rng.integers(0, len(EXTREMES)))]
        elif kind == 2:
            del changed[max(12, place) :]
        elif kind == 3:
            other = files[int(rng.integers(0, len(files)))]
            changed[place:] = other[int(rng.integers(0, len(other))) :]
        elif kind == 4:
            changed[place:place] = changed[place : place + int(rng.integers(1, 400))]
        elif kind == 5:
            del changed[place : place + int(rng.integers(1, 60))]
        else:
            changed[place : place + 16] = rng.bytes(16)
    return bytes(changed)


def resident() -> float:
    """Megabytes of memory in use."""
    pages = int(Path("/proc/self/statm").read_text().split()[1]) if sys.platform == "linux" else 0
    return pages * resource.getpagesize() / 2**20


def main(folder: str, first: str, last: str) -> None:
    files = [path.read_bytes() for path in sorted(Path(folder).iterdir())]
    modalities = [Clips(size=16, frames=4), Clips(size=(8, 12), frames=None, rate=5.0, resize="crop"), Sounds(8_000)]
    modalities += [Clips(size=16, frames=3, start=0.3, seconds=0.5), Sounds(8_000, start=0.3, seconds=0.5)]
    for modality in modalities:  # so that what is loaded once is no growth
        for file in files:
            modality.prepare(file)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    read = refused = 0
    slowest, before = 0.0, resident()
    for number in range(int(first), int(last)):
        file = mutated(files, number)
        print(number, file=sys.stderr, flush=True)  # the last one is what it died of
        for modality in modalities:
            began = time.perf_counter()
            try:
                item = modality.prepare(file)
                assert len(item) and np.isfinite(item).all()
                read += 1
            except DecodeError as error:
                assert error.reason
                refused += 1
            slowest = max(slowest, time.perf_counter() - began)
    print(json.dumps({"read": read, "refused": refused, "slowest": slowest, "growth": resident() - before}))


if __name__ == "__main__":
    main(*sys.argv[1:])
