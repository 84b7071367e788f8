"""Log-mel spectra by mmsdk-speech, a batch at a time, and by the numpy functions of transformers, clip by clip."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from transformers import WhisperFeatureExtractor
from transformers.audio_utils import spectrogram, window_function

from benchmarks.measuring import Result, interleaved
from mmsdk_speech.features import FLOOR, LogMel

RATE, SECONDS, BINS, BATCH = 16_000, 4, 80, 16


def run(quick: bool) -> list[Result]:
    torch.set_num_threads(1)
    clips = np.random.default_rng(0).standard_normal((BATCH, RATE * SECONDS), dtype=np.float32) / 10
    features = LogMel(RATE, bins=BINS)
    samples, mask = torch.from_numpy(clips), torch.ones(clips.shape, dtype=torch.bool)
    window, filters = window_function(features.window, "hann"), features.filters.numpy()

    def ours() -> Any:
        with torch.inference_mode():
            return features(samples, mask)[0].numpy()

    def theirs() -> Any:
        powers = [
            spectrogram(
                clip,
                window,
                frame_length=features.window,
                hop_length=features.step,
                fft_length=features.size,
                power=2.0,
                center=False,
                mel_filters=filters,
                mel_floor=0.0,
            ).T
            for clip in clips
        ]
        return np.log1p(np.stack(powers) / FLOOR)

    whisper = WhisperFeatureExtractor(feature_size=BINS, sampling_rate=RATE, chunk_length=SECONDS)

    def theirs_whole() -> Any:
        return whisper._np_extract_fbank_features(clips, "cpu")

    equal = bool(np.allclose(ours(), theirs(), atol=1e-3))
    bodies = {"ours": ours, "WhisperFeatureExtractor": theirs_whole, "spectrogram": theirs}
    found = interleaved({name: partial(_seconds, body) for name, body in bodies.items()}, 1 if quick else 15)
    note = f"{BATCH} clips of {SECONDS} s, {BINS} bins; equal to 0.001 of values up to {ours().max():.0f}"
    return [
        Result.of(
            f"log_mel: mmsdk-speech / {name} in numpy", found["ours"], found[name], goal=goal, equal=equal, note=note
        )
        for name, goal in (("WhisperFeatureExtractor", 1 / 4), ("spectrogram", None))
    ]


def _seconds(body: Callable[[], Any]) -> float:
    start = time.process_time()
    body()
    return time.process_time() - start
