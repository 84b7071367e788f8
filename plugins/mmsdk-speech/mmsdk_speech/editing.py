"""Changes of a mono sound, [time] float32 -> [time] float32: another rate, what varies it, and what damages it."""

from __future__ import annotations

from math import gcd

import numpy as np
import soxr
import torch

from mmsdk_speech.decoding import Samples
from mmsdk_speech.native import try_torchaudio

LARGEST_RATIO = 1000
"""torchaudio holds a filter per sample of a period, of both rates: at 191,999 to 16,000 Hz that would be gigabytes."""
FRAME, STEP = 0.025, 0.010
"""In seconds: the frames whose loudness `trimmed` compares."""


def resampled(samples: Samples, rate: int, new_rate: int) -> Samples:
    """By torchaudio where it loads, else by soxr; both with a long windowed sinc, so that they agree."""
    if rate == new_rate:
        return samples
    torchaudio = try_torchaudio().module
    if torchaudio is None or max(rate, new_rate) // gcd(rate, new_rate) > LARGEST_RATIO:
        return np.asarray(soxr.resample(samples, rate, new_rate), dtype=np.float32)
    changed = torchaudio.functional.resample(
        torch.from_numpy(samples),
        rate,
        new_rate,
        lowpass_filter_width=64,
        rolloff=0.9475937167399596,
        resampling_method="sinc_interp_kaiser",
        beta=14.769656459379492,
    )
    return np.asarray(changed.numpy(), dtype=np.float32)


def trimmed(samples: Samples, rate: int, decibels: float) -> Samples:
    """Without the beginning and the end, as far as they are this much quieter than the loudest frame."""
    frame, step = max(1, round(FRAME * rate)), max(1, round(STEP * rate))
    if len(samples) <= frame:
        return samples
    energy = np.concatenate([[0.0], np.cumsum(samples.astype(np.float64) ** 2)])
    begins = np.arange(0, len(samples) - frame + 1, step)
    loudness = energy[begins + frame] - energy[begins]  # [frames]
    loud = np.flatnonzero(loudness >= loudness.max() * 10 ** (-decibels / 10))
    return samples[begins[loud[0]] : begins[loud[-1]] + frame]


def faster(samples: Samples, factor: float) -> Samples:
    """At another speed, as a tape that runs faster: tempo and pitch change (Ko et al., "Audio Augmentation for Speech
    Recognition", 2015)."""
    changed = soxr.resample(samples, factor, 1.0, quality="LQ")
    return np.asarray(changed, dtype=np.float32) if len(changed) else samples


def moved(samples: Samples, steps: int) -> Samples:
    """Later, after silence (steps > 0), or earlier, without its beginning; half of it stays in any case."""
    if steps > 0:
        return np.concatenate([np.zeros(steps, dtype=np.float32), samples])
    return samples[min(-steps, len(samples) // 2) :]


def noisy(samples: Samples, decibels: float, rng: np.random.Generator) -> Samples:
    """With white noise, this many decibels below the sound."""
    power = float(np.mean(samples.astype(np.float64) ** 2))
    deviation = np.float32(np.sqrt(power * 10 ** (-decibels / 10)))
    return samples + deviation * rng.standard_normal(len(samples), dtype=np.float32)


def quieter(samples: Samples, decibels: float, rng: np.random.Generator) -> Samples:
    """Louder by so many decibels, hence quieter where they are negative."""
    return samples * np.float32(10 ** (decibels / 20))


def interrupted(samples: Samples, share: float, rng: np.random.Generator) -> Samples:
    """With silence for this share of the time, in one piece, somewhere."""
    length = round(share * len(samples))
    start = rng.integers(len(samples) - length + 1)
    return np.concatenate([samples[:start], np.zeros(length, dtype=np.float32), samples[start + length :]])
