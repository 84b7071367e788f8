"""Decodes mutated sounds: `python fuzz_decoding.py ROUNDS SEED`.

A program of its own, so that a crash ends this process and not the tests. The last line that it prints is JSON: how
many inputs were read and how many refused, the longest time one took in seconds, and the memory gained in bytes.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from mmsdk import DecodeError
from mmsdk_speech.decoding import sound_of

FORMATS = [("WAV", "PCM_16"), ("WAV", "FLOAT"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS")]
FORMATS += [("MP3", "MPEG_LAYER_III")]
MAX_SECONDS = 10
EXTREMES = (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\0\0\0\x80")


def originals(rng: np.random.Generator) -> Iterator[bytes]:
    """A short sound in each format, and as FLAC an hour of silence, which is small as a file and huge as samples."""
    sound = (0.3 * rng.standard_normal((2_000, 2))).astype(np.float32)
    for format, subtype in FORMATS:
        yield encoded(sound, format, subtype)
    yield encoded(np.zeros(3600 * 8_000, dtype=np.int16), "FLAC", "PCM_16", 8_000)


def encoded(samples: np.ndarray[Any, Any], format: str, subtype: str, rate: int = 16_000) -> bytes:
    file = BytesIO()
    soundfile.write(file, samples, rate, format=format, subtype=subtype)
    return file.getvalue()


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """With one to three damages, most of them in the header."""
    changed = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        place = int(rng.integers(0, 1 + min(len(changed), 64 if rng.random() < 0.6 else len(changed))))
        match rng.integers(0, 5):
            case 0:  # a byte
                changed[place : place + 1] = rng.bytes(1)
            case 1:  # a number that lies
                changed[place : place + 4] = EXTREMES[rng.integers(0, len(EXTREMES))]
            case 2:  # the end is missing, or everything
                del changed[place:]
            case 3:  # a part twice
                changed[place:place] = changed[place : place + int(rng.integers(1, 200))]
            case 4:  # rubbish
                changed[place : place + 16] = rng.bytes(16)
    return bytes(changed)


def peak() -> int:
    """The most memory that this process ever held, in bytes. (`resource` counts that of its parent, too.)"""
    status = Path("/proc/self/status")
    return int(status.read_text().partition("VmHWM:")[2].split()[0]) * 1024 if status.exists() else 0


def fuzz(rounds: int, seed: int) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    files = list(originals(rng))
    read = refused = 0
    slowest, before = 0.0, peak()
    for number in range(rounds):
        data = mutated(files[number % len(files)], rng)
        began = time.perf_counter()
        try:
            samples, rate = sound_of(data, MAX_SECONDS)
            assert np.isfinite(samples).all() and 0 < len(samples) <= MAX_SECONDS * rate
            read += 1
        except DecodeError as error:
            assert error.reason
            refused += 1
        slowest = max(slowest, time.perf_counter() - began)
    return {"read": read, "refused": refused, "slowest": slowest, "gained": peak() - before}


if __name__ == "__main__":
    with warnings.catch_warnings(record=True) as warned:
        figures = fuzz(int(sys.argv[1]), int(sys.argv[2]))
    assert not warned, warned[0]
    print(json.dumps(figures))
