"""Sound tracks: in step with the pictures, in every kind of file, of one rate, within limits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmsdk import DecodeError
from mmsdk_video.files import Track
from mmsdk_video.pictures import Limits, clip_of
from mmsdk_video.sounds import resampled, sound_of
from mmsdk_video.window import Window

FORMATS = ["mp4", "mov", "webm", "matroska", "avi"]
RATE = 48_000


def tone(seconds: float, frequency: float = 440.0, rate: int = RATE) -> np.ndarray[Any, Any]:
    return (0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def beep(at: float = 1.0, seconds: float = 3.0) -> np.ndarray[Any, Any]:
    """Silence, with a tone of 0.1 seconds."""
    sound, begin = np.zeros(round(seconds * RATE), dtype=np.float32), round(at * RATE)
    sound[begin : begin + RATE // 10] = tone(0.1)
    return sound


def heard(sound: np.ndarray[Any, Any], rate: int = 16_000) -> float:
    return float(np.argmax(np.abs(sound) > 0.25)) / rate


@pytest.mark.parametrize("start", [0.0, 0.4, 0.9])
@pytest.mark.parametrize("format", FORMATS)
def test_sound_and_picture_are_in_step(format: str, start: float, movie: Callable[..., bytes]) -> None:
    """A flash and a beep at second 1."""
    pictures = np.zeros((24, 32, 48, 3), dtype=np.uint8)
    pictures[8] = 250
    file, window = movie(pictures, beep(), format=format, rate=RATE), Window(start, 1.5)
    sound = sound_of(file, 16_000, window)
    clip = clip_of(file, (8, 8), frames=None, rate=100.0, window=window, limits=Limits())
    flash = float(np.argmax(clip.mean(axis=(1, 2, 3)) > 125)) / 100
    assert heard(sound) == pytest.approx(1 - start, abs=0.005) and flash == pytest.approx(1 - start, abs=0.011)
    assert len(sound) == 24_000 and sound.dtype == np.float32


def test_a_sound_that_begins_late_comes_after_silence(movie: Callable[..., bytes], tmp_path: Path) -> None:
    """Sound of another file, set off by a second: a track need not begin where the file does."""
    import av

    source, target = tmp_path / "a.mkv", tmp_path / "b.mkv"
    source.write_bytes(movie(np.zeros((24, 32, 48, 3), dtype=np.uint8), beep(0.5, 1.0), format="matroska", rate=RATE))
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        streams = {each.index: new.add_stream_from_template(each) for each in (*old.streams.video, *old.streams.audio)}
        for packet in old.demux():
            if not packet.size:
                continue
            if packet.stream.type == "audio":
                packet.pts = packet.dts = (packet.pts or 0) + round(1 / packet.time_base)
            packet.stream = streams[packet.stream.index]
            new.mux(packet)
    sound = sound_of(target, 16_000, Window())
    assert heard(sound) == pytest.approx(1.5, abs=0.005) and not sound[:15_000].any()


@pytest.mark.parametrize("format", FORMATS)
def test_a_tone_keeps_its_pitch_and_its_loudness(format: str, movie: Callable[..., bytes]) -> None:
    sound = sound_of(movie(None, tone(1.0, 1_000), format=format, rate=RATE), 16_000, Window())[2_000:14_000]
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    assert np.argmax(spectrum) * 16_000 / len(sound) == pytest.approx(1_000, abs=2)
    assert np.sqrt(np.mean(sound**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.03)


@pytest.mark.parametrize("format", ["mov", "matroska", "mp4"])
def test_channels_are_averaged(format: str, movie: Callable[..., bytes]) -> None:
    left, right = tone(0.5, 300), tone(0.5, 500)
    sound = sound_of(movie(None, np.stack([left, right]), format=format, rate=RATE), RATE, Window())
    expected = (left + right) / 2
    assert np.abs(sound[: len(expected)] - expected)[4_000:-4_000].max() < (0.05 if format == "mp4" else 1e-3)


@pytest.mark.parametrize(("rate", "new_rate"), [(16_000, 8_000), (44_100, 16_000), (8_000, 16_000), (191_999, 1_000)])
def test_another_rate_keeps_the_length(rate: int, new_rate: int) -> None:
    sound = tone(1.5, 200, rate)
    changed = resampled(sound, rate, new_rate)
    expected = tone(1.5, 200, new_rate)
    assert changed.dtype == np.float32 and len(changed) == len(expected)
    middle = slice(new_rate // 10, -new_rate // 10)
    assert np.abs(changed - expected)[middle].max() < 0.01
    assert len(resampled(sound[:1], rate, new_rate)) >= 1


def test_what_lies_above_the_new_limit_is_gone() -> None:
    assert np.abs(resampled(tone(1.0, 6_000, 16_000), 16_000, 8_000))[400:-400].max() < 2e-3


@pytest.mark.parametrize("format", FORMATS)
def test_limits(format: str, movie: Callable[..., bytes]) -> None:
    file = movie(None, beep(), format=format, rate=RATE)
    assert len(sound_of(file, 8_000, Window(longest=3.1))) == pytest.approx(24_000, abs=400)
    with pytest.raises(DecodeError, match="at most 2 are read: cut it"):
        sound_of(file, 8_000, Window(longest=2))
    with pytest.raises(DecodeError, match=r"no sound from second 40 on|cannot read"):
        sound_of(file, 8_000, Window(start=40))


def test_the_header_is_asked_first(movie: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Track, "packets", lambda *_: pytest.fail("read"))
    with pytest.raises(DecodeError, match=r"lasts 3\.0 seconds or more"):
        sound_of(movie(None, beep(), rate=RATE), 8_000, Window(longest=2))


def test_a_header_that_lies_gains_nothing(movie: Callable[..., bytes]) -> None:
    """A WebM file that says it lasts 0.1 seconds, and one whose samples all have the time stamp 0."""
    file = movie(None, beep(), format="webm", rate=RATE)
    place = file.index(b"\x44\x89\x88") + 3
    short = file[:place] + np.array([100.0], dtype=">f8").tobytes() + file[place + 8 :]
    with pytest.raises(DecodeError, match="at most 2 are read"):
        sound_of(short, 8_000, Window(longest=2))
    still = bytearray(short)
    begin = 0
    while (begin := still.find(b"\xa3", begin + 1)) > 0:  # a SimpleBlock: size, track, time, flags
        size = still[begin + 1]
        if size & 0x80 and still[begin + 2] == 0x81:
            still[begin + 3 : begin + 5] = b"\0\0"
    with pytest.raises(DecodeError, match="at most 2 are read"):
        sound_of(bytes(still), 8_000, Window(longest=2))


def test_a_file_without_sound_says_so(movie: Callable[..., bytes], steps: Callable[..., Any]) -> None:
    with pytest.raises(DecodeError, match="the video has no sound track"):
        sound_of(movie(steps(4)), 8_000, Window())
    with pytest.raises(DecodeError, match="the video has no pictures"):
        clip_of(movie(None, tone(0.5)), (8, 8), frames=1, window=Window(), limits=Limits())
