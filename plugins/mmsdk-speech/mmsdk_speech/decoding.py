"""Sound from files and from arrays, within limits: a small file can claim, or hold, hours of silence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, suppress
from io import BytesIO
from pathlib import Path
from reprlib import repr as shown
from typing import Any, NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from mmsdk import DecodeError, decoding, existing_file

Samples = NDArray[np.float32]

FORMATS = ("WAV", "WAVEX", "FLAC", "OGG", "MP3")
"""What is opened at all: each further decoder would be a further way in."""
BEGINNINGS = (b"RIFF", b"fLaC", b"OggS", b"ID3", *(bytes([0xFF, second]) for second in range(0xE0, 0x100)))
"""How such files begin; the last ones are the first frame of an MP3."""
RATES = (1_000, 192_000)
CHANNELS = 32
BLOCK = 2**16
"""Frames that are decoded at a time, so that a header that lies about the length costs no more than that."""
LOUDEST = 16.0
"""24 dB above full scale. What is louder was never divided by its full scale."""
EXPECTED = 'a sound: the path of a WAV, FLAC, OGG or MP3 file, its bytes, or {"samples": [...], "rate": 16000}'


class Sound(NamedTuple):
    """samples: [time] float32, mono, 1 is full scale. rate: samples per second."""

    samples: Samples
    rate: int


@np.errstate(over="ignore", invalid="ignore")  # what is not finite is refused in the end
def sound_of(value: Any, max_seconds: float) -> Sound:
    """A path, the bytes of a file, or a mapping with "samples" ([time] or [time, channels]) and "rate".

    Raises:
        DecodeError: it cannot be read, is empty, too long, not finite, or of a rate that no sound has.
    """
    if isinstance(value, str | Path):
        sound = _from_file(existing_file(Path(value)), f"the sound '{value}'", max_seconds)
    elif isinstance(value, bytes | bytearray | memoryview):
        sound = _from_file(BytesIO(value), "the sound", max_seconds)
    elif isinstance(value, Mapping) and {"samples", "rate"} <= value.keys():
        sound = _from_array(value["samples"], value["rate"], max_seconds)
    else:
        raise DecodeError(f"expected {EXPECTED}; got {shown(value)}")
    if not len(sound.samples):
        raise DecodeError("the sound is empty: it holds no samples")
    loudest = float(np.abs(sound.samples).max())
    if not loudest <= LOUDEST:  # NaN is neither
        raise DecodeError(f"expected samples in -1..1, found {loudest:g}; whole numbers of 16 bits need dtype int16")
    return sound


def measured(files: Iterable[Path]) -> tuple[list[int], list[float]]:
    """Samples per second, and seconds, as the headers of files tell them; without files that cannot be read."""
    rates, seconds = [], []
    for path in files:
        with suppress(DecodeError), _decoding(f"the sound '{path}'"):
            _check_beginning(path)
            with soundfile.SoundFile(path) as file:
                if file.format in FORMATS and RATES[0] <= file.samplerate <= RATES[1]:
                    rates.append(file.samplerate)
                    seconds.append(file.frames / file.samplerate)
    return rates, seconds


def _from_file(source: Path | BytesIO, name: str, max_seconds: float) -> Sound:
    with _decoding(name):
        _check_beginning(source)
        with soundfile.SoundFile(source) as file:
            if file.format not in FORMATS:
                raise ValueError(f"its format is {file.format}")
            _check(file.samplerate, file.channels, file.frames, max_seconds, name)
            blocks, total = [], 0
            while len(block := file.read(BLOCK, dtype="float32", always_2d=True)):  # [frames, channels]
                total += len(block)
                _check(file.samplerate, file.channels, total, max_seconds, name)
                blocks.append(block.mean(axis=1))
            mono = np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.float32)
            return Sound(mono, file.samplerate)


def _decoding(name: str) -> AbstractContextManager[None]:
    return decoding(name, "a WAV, FLAC, OGG or MP3 file", _why)


def _why(error: Exception) -> str:
    """The library puts the place where the file is opened before what is wrong with it."""
    return str(error).rpartition(": ")[2] or type(error).__name__


def _check_beginning(source: Path | BytesIO) -> None:
    if isinstance(source, Path):
        with source.open("rb") as file:
            beginning = file.read(4)
    else:
        beginning = source.getvalue()[:4]
    if not beginning.startswith(BEGINNINGS):
        raise ValueError("it is no sound, or damaged")


def _check(rate: int, channels: int, frames: int, max_seconds: float, name: str = "the sound") -> None:
    if not RATES[0] <= rate <= RATES[1]:
        raise DecodeError(f"{name} has {rate} samples per second; {RATES[0]} to {RATES[1]} are read")
    if channels > CHANNELS:
        raise DecodeError(f"{name} has {channels} channels; at most {CHANNELS} are read")
    if frames > max_seconds * rate:
        raise DecodeError(
            f"{name} lasts {frames / rate:.1f} seconds or more; at most {max_seconds:g} are read: "
            "cut it, or raise 'max_seconds'"
        )


def _from_array(value: Any, rate: Any, max_seconds: float) -> Sound:
    if isinstance(rate, bool) or not isinstance(rate, int | np.integer):
        raise DecodeError(f"expected a whole number of samples per second as 'rate', got {shown(rate)}")
    try:
        samples = np.asarray(value)
    except (ValueError, TypeError, RuntimeError, OverflowError):
        raise DecodeError("expected a list of numbers, or an array, as 'samples'") from None
    if (samples.dtype.kind not in "iuf" and samples.size) or samples.ndim not in (1, 2):
        raise DecodeError(f"expected samples [time] or [time, channels], got {list(samples.shape)} of {samples.dtype}")
    if samples.ndim == 2 and not samples.shape[1]:
        raise DecodeError("the sound has no channels")
    _check(int(rate), samples.shape[1] if samples.ndim == 2 else 1, len(samples), max_seconds)
    scale = 2.0**15 if samples.dtype == np.int16 else 2.0**31 if samples.dtype == np.int32 else 1.0
    single = (samples / scale).astype(np.float32)
    return Sound(single.mean(axis=1) if single.ndim == 2 else single, int(rate))
