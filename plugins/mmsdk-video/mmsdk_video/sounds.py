"""The sound track of a video as mono samples of one rate, in step with its pictures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from av import AudioFrame, AudioResampler
from numpy.typing import NDArray

from mmsdk import DecodeError
from mmsdk_video.files import Track, opened
from mmsdk_video.window import Window

Samples = NDArray[np.float32]

RATES = (1_000, 192_000)
CHANNELS = 32
GAP = 0.05
"""In seconds: what time stamps may be off before samples are moved; many are rounded."""
FILLED_UP = 0.2
"""In seconds: codecs work in blocks, and fill up the last one."""
RUN_UP = 0.2
"""In seconds: what some codecs give after a jump is wrong at first."""
LOUDEST = 16.0
"""24 dB above full scale. What is louder is damaged."""
FULL_SCALE = {"u8": 2.0**7, "s16": 2.0**15, "s32": 2.0**31, "flt": 1.0, "dbl": 1.0}
BLOCK = 2**16
"""Samples that are resampled at a time: FFmpeg counts the bytes of a frame in 32 bits."""


def sound_of(value: Any, rate: int, window: Window) -> Samples:
    """The sound [time] of a file or of its bytes. 1 is full scale; sample i is heard at second start + i / rate.

    Channels are averaged, gaps are silent.

    Raises:
        DecodeError: the file cannot be read, has no sound track, none in the window, or is beyond a limit.
    """
    with opened(value, "audio") as track:
        codec, name = track.stream.codec_context, track.name
        if not RATES[0] <= codec.sample_rate <= RATES[1]:
            raise DecodeError(f"{name} has {codec.sample_rate} samples per second; {RATES[0]} to {RATES[1]} are read")
        if not 1 <= codec.channels <= CHANNELS:
            raise DecodeError(f"the sound of {name} has {codec.channels} channels; 1 to {CHANNELS} are read")
        if track.seconds is not None:
            window.check(track.seconds, name)
        samples = _placed(track, window, codec.sample_rate)
        if not len(samples):
            raise DecodeError(f"{name} has no sound from second {window.start:g} on")
        if not float(np.abs(samples).max()) <= LOUDEST:  # NaN is neither
            raise DecodeError(f"the sound of {name} is damaged: it holds numbers that are no samples")
        return resampled(samples, codec.sample_rate, rate)


def resampled(samples: Samples, rate: int, new_rate: int) -> Samples:
    """samples [time] of one rate as those of another, by FFmpeg's windowed sinc."""
    if rate == new_rate:
        return samples
    resampler, frames = AudioResampler("flt", "mono", new_rate), []
    for begin in range(0, len(samples), BLOCK):
        block = AudioFrame.from_ndarray(samples[None, begin : begin + BLOCK], format="flt", layout="mono")
        block.sample_rate = rate
        frames += resampler.resample(block)
    frames += resampler.resample(None)
    changed = np.zeros(max(1, round(len(samples) * new_rate / rate)), dtype=np.float32)
    position = 0
    for frame in frames:
        piece = frame.to_ndarray()[0, : len(changed) - position]
        changed[position : position + len(piece)] = piece
        position += len(piece)
    return changed


def _placed(track: Track, window: Window, rate: int) -> Samples:
    """The samples of the window, each where its time stamp says, but that smaller gaps than GAP are closed."""
    pieces: list[tuple[int, Samples]] = []
    position, total, stop = 0, 0, round((window.end - window.start) * rate)
    for time, mono in _decoded(track, window.start, rate):
        stamped = position if time is None else round((time - window.start) * rate)
        if not pieces or abs(stamped - position) > GAP * rate:
            position = stamped
        pieces.append((position, mono))
        position += len(mono)
        total += len(mono)
        # The time stamps can lie, so that what was decoded counts as well.
        last = max(window.start + position / rate, total / rate - window.start)
        window.check(last - FILLED_UP, track.name)
        if last >= window.end + FILLED_UP:
            break
    pieces = [(place, mono) for place, mono in pieces if place < stop and place + len(mono) > 0]
    samples = np.zeros(min(stop, max((place + len(mono) for place, mono in pieces), default=0)), dtype=np.float32)
    for place, mono in pieces:
        mono = mono[max(0, -place) : stop - place]
        samples[max(0, place) : max(0, place) + len(mono)] = mono
    return samples


def _decoded(track: Track, start: float, rate: int) -> Iterator[tuple[float | None, Samples]]:
    """Mono samples [time], and the second at which they begin where the file says it."""
    for frame in track.frames(max(0.0, start - RUN_UP)):
        if frame.sample_rate != rate:
            raise DecodeError(f"the sound of {track.name} changes its rate from {rate} to {frame.sample_rate}")
        yield track.time(frame), _mono(frame)


def _mono(frame: AudioFrame) -> Samples:
    values = frame.to_ndarray()  # planar [channels, time], or packed [1, time * channels]
    if not frame.format.is_planar:
        values = values.reshape(-1, frame.layout.nb_channels).T
    kind = frame.format.name.removesuffix("p")
    numbers = values.astype(np.float32) - (128 if kind == "u8" else 0)
    mono: Samples = numbers.mean(axis=0) / np.float32(FULL_SCALE[kind])
    return mono
