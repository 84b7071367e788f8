"""Reading sounds: four formats, limits that hold whatever a header says, and nothing but DecodeErrors."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from mmsdk import DecodeError
from mmsdk_speech.decoding import sound_of

FORMATS = [("WAV", "PCM_16", 1e-4), ("WAV", "FLOAT", 1e-7), ("FLAC", "PCM_16", 1e-4), ("OGG", "VORBIS", 0.1)]
FORMATS += [("OGG", "OPUS", 0.1), ("MP3", "MPEG_LAYER_III", 0.1)]


@pytest.mark.parametrize(("format", "subtype", "tolerance"), FORMATS)
def test_each_format_gives_its_samples(
    format: str, subtype: str, tolerance: float, tone: Callable[..., Any], encoded: Callable[..., bytes]
) -> None:
    samples = tone()
    sound = sound_of(encoded(samples, 16_000, format, subtype), 30)
    assert sound.rate == 16_000 and sound.samples.dtype == np.float32
    length = min(len(samples), len(sound.samples))
    assert length == pytest.approx(8_000, abs=1_200)  # an MP3 holds whole frames
    found, expected = (np.abs(np.fft.rfft(each[:length])) for each in (sound.samples, samples))
    assert np.abs(found - expected).max() <= tolerance * expected.max()


def test_channels_are_averaged(tone: Callable[..., Any], encoded: Callable[..., bytes]) -> None:
    left, right = tone(0.2, 300), tone(0.2, 500)
    both = np.stack([left, right], axis=1)
    for value in (encoded(both, subtype="FLOAT"), {"samples": both, "rate": 16_000}):
        assert np.allclose(sound_of(value, 30).samples, (left + right) / 2, atol=1e-6)


def test_whole_numbers_are_scaled_by_their_type() -> None:
    for dtype, full in ((np.int16, 2**15), (np.int32, 2**31)):
        samples = np.array([0, full // 2, -full // 2]).astype(dtype)
        assert sound_of({"samples": samples, "rate": 8_000}, 30).samples.tolist() == [0, 0.5, -0.5]


def bad_values() -> dict[str, tuple[Any, str]]:
    return {
        "no file": (Path("nowhere.wav"), "there is no file 'nowhere.wav'"),
        "a folder": (Path("/"), "there is no file '/'"),
        "a null character": ("a\0b", "there is no file"),
        "no bytes": (b"", "it is no sound, or damaged"),
        "text": (b"hello there, I am a sound", "it is no sound, or damaged"),
        "a number": (3, "expected a sound: the path of a WAV, FLAC, OGG or MP3 file"),
        "no rate": ({"samples": [0.0]}, "expected a sound"),
        "no samples": ({"samples": [], "rate": 8_000}, "the sound is empty"),
        "rate 0": ({"samples": [0.0], "rate": 0}, "0 samples per second; 1000 to 192000"),
        "rate 1e9": ({"samples": [0.0], "rate": 10**9}, "1000 to 192000 are read"),
        "rate a text": ({"samples": [0.0], "rate": "fast"}, "expected a whole number of samples per second"),
        "rate true": ({"samples": [0.0], "rate": True}, "expected a whole number of samples per second"),
        "nan": ({"samples": [0.0, float("nan")], "rate": 8_000}, "found nan"),
        "infinity": ({"samples": [0.0, float("-inf")], "rate": 8_000}, "found inf"),
        "too loud": ({"samples": [12_000, 5], "rate": 8_000}, "whole numbers of 16 bits need dtype int16"),
        "beyond 32 bits": ({"samples": [1e300], "rate": 8_000}, "found inf"),
        "ragged": ({"samples": [[0.0], [0.0, 0.0]], "rate": 8_000}, "expected a list of numbers"),
        "three axes": ({"samples": np.zeros((2, 2, 2)), "rate": 8_000}, "got [2, 2, 2] of float64"),
        "no channels": ({"samples": np.zeros((5, 0)), "rate": 8_000}, "no channels"),
        "words": ({"samples": ["a", "b"], "rate": 8_000}, "expected samples"),
        "33 channels": ({"samples": np.zeros((5, 33)), "rate": 8_000}, "33 channels; at most 32"),
        "too long": ({"samples": np.zeros(32_001), "rate": 16_000}, "lasts 2.0 seconds or more; at most 2 are read"),
    }


@pytest.mark.parametrize("name", bad_values())
def test_what_cannot_be_read_is_told(name: str) -> None:
    value, message = bad_values()[name]
    with pytest.raises(DecodeError) as caught:
        sound_of(value, 2)
    assert message in str(caught.value)


def test_a_damaged_file_is_named(tmp_path: Path, tone: Callable[..., Any], encoded: Callable[..., bytes]) -> None:
    path = tmp_path / "half.flac"
    path.write_bytes(encoded(tone(), format="FLAC")[:60])
    with pytest.raises(DecodeError, match=r"half\.flac"):
        sound_of(path, 30)


def test_formats_that_are_not_listed_are_not_opened(tone: Callable[..., Any], encoded: Callable[..., bytes]) -> None:
    for format in ("AIFF", "AU", "CAF", "W64"):
        with pytest.raises(DecodeError, match="expected a WAV, FLAC, OGG or MP3 file"):
            sound_of(encoded(tone(), format=format), 30)


def test_sounds_that_are_not_finite_are_refused(encoded: Callable[..., bytes]) -> None:
    for value in (np.nan, np.inf, 1e30):
        with pytest.raises(DecodeError, match=r"expected samples in -1\.\.1"):
            sound_of(encoded(np.array([0.0, value, 0.0]), subtype="FLOAT"), 30)


def test_an_hour_of_silence_is_refused_before_it_is_decoded(
    encoded: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = encoded(np.zeros(3600 * 8_000, dtype=np.int16), 8_000, "FLAC")
    assert len(bomb) < 200_000
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda *_, **__: pytest.fail("decoded"))
    with pytest.raises(DecodeError, match=r"lasts 3600\.0 seconds or more; at most 30 are read"):
        sound_of(bomb, 30)


def test_a_header_that_lies_about_the_length_gains_nothing(
    tone: Callable[..., Any], encoded: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = bytearray(encoded(tone(0.5)))
    place = honest.index(b"data") + 4
    honest[place : place + 4] = struct.pack("<I", 0xFFFFFFF0)
    assert len(sound_of(bytes(honest), 30).samples) == 8_000
    monkeypatch.setattr(soundfile.SoundFile, "frames", 10)  # says 10, holds 8,000
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda *_, **__: np.zeros((2**16, 1), dtype=np.float32))
    with pytest.raises(DecodeError, match="at most 30 are read"):
        sound_of(encoded(tone(0.5)), 30)


@pytest.mark.parametrize("rounds", [300, pytest.param(2_000, marks=pytest.mark.slow)])
def test_mutated_files_raise_nothing_but_decode_errors(rounds: int) -> None:
    """In a process of its own: nothing here may crash it, hang, or fill the memory."""
    command = [sys.executable, Path(__file__).with_name("fuzz_decoding.py"), str(rounds), "0"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=60 + rounds / 10)
    assert done.returncode == 0, done.stderr[-2_000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["read"] + found["refused"] == rounds and min(found["read"], found["refused"]) > rounds / 10
    assert found["slowest"] < 2 and found["gained"] < 300 * 2**20
