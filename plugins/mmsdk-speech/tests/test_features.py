"""Spectral features: equal to other people's formulas, however far a batch is padded, and whether torchaudio is
there or not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.fft import dct

from mmsdk import ConfigError
from mmsdk_speech.features import FLOOR, Fbank, LogMel, Mfcc
from mmsdk_speech.native import try_torchaudio

in_each_state = pytest.mark.usefixtures("torchaudio_state")
KINDS: dict[str, type[LogMel]] = {"log_mel": LogMel, "mfcc": Mfcc, "fbank": Fbank}


def sound(*shape: int, seed: int = 0) -> torch.Tensor:
    """Noise that swells and fades: every bin has something to say."""
    noise = 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return noise * torch.linspace(0, 6, shape[-1]).sin().abs()


def frames_of(features: LogMel, samples: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = features(samples, torch.ones_like(samples, dtype=torch.bool))[0]
    return found


def torchaudio() -> Any:
    module, reason = try_torchaudio()
    return module or pytest.skip(f"torchaudio does not load here: {reason}")


@in_each_state
@pytest.mark.parametrize(("rate", "bins"), [(16_000, 40), (16_000, 80), (8_000, 40)])
def test_mel_filters_are_those_of_the_formula(rate: int, bins: int) -> None:
    """Written out once more, bin by bin, in plain numpy."""
    features = LogMel(rate, bins)
    mels = np.linspace(2595 * np.log10(1 + 20 / 700), 2595 * np.log10(1 + rate / 1400), bins + 2)
    corners = 700 * (10 ** (mels / 2595) - 1)
    expected = np.zeros((features.size // 2 + 1, bins))
    for place in range(len(expected)):
        frequency = place * rate / features.size
        for bin, (left, middle, right) in enumerate(zip(corners, corners[1:], corners[2:], strict=False)):
            up, down = (frequency - left) / (middle - left), (right - frequency) / (right - middle)
            expected[place, bin] = max(0, min(up, down))
    assert np.abs(features.filters.numpy() - expected).max() < 1e-5


@in_each_state
def test_log_mel_is_that_of_the_short_time_fourier_transform() -> None:
    features, samples = LogMel(16_000), sound(2, 4_000)
    window = torch.zeros(512)
    window[:400] = torch.hann_window(400)
    tail = torch.nn.functional.pad(samples, (0, 112))
    power = torch.stft(tail, 512, 160, 512, window, center=False, return_complex=True).abs().square()
    expected = (power.transpose(1, 2) @ features.filters + FLOOR).log() - np.log(FLOOR)
    assert torch.allclose(frames_of(features, samples), expected, atol=1e-4)


def test_log_mel_is_that_of_torchaudio() -> None:
    mel = torchaudio().transforms.MelSpectrogram(16_000, 512, 400, 160, f_min=20, n_mels=40, center=False)
    samples = sound(2, 4_000)
    # torchaudio puts the window of 400 samples into the middle of 512.
    theirs = mel(torch.nn.functional.pad(samples, (56, 56)))
    expected = (theirs.transpose(1, 2) + FLOOR).log() - np.log(FLOOR)
    assert torch.allclose(frames_of(LogMel(16_000), samples), expected, atol=1e-4)


@in_each_state
def test_mfcc_is_the_cosine_transform_of_log_mel() -> None:
    samples = sound(2, 4_000)
    expected = dct(frames_of(LogMel(16_000), samples).double().numpy(), type=2, norm="ortho")[..., :20]
    assert np.abs(frames_of(Mfcc(16_000, 20), samples).numpy() - expected).max() < 1e-4


def test_mfcc_is_that_of_torchaudio() -> None:
    mel = {"n_fft": 512, "win_length": 400, "hop_length": 160, "f_min": 20, "n_mels": 40, "center": False}
    mfcc = torchaudio().transforms.MFCC(16_000, 20, log_mels=True, melkwargs=mel)
    samples = sound(2, 4_000)
    expected = mfcc(torch.nn.functional.pad(samples, (56, 56))).transpose(1, 2)
    expected[..., 0] -= np.sqrt(40) * np.log(FLOOR)  # theirs is the logarithm of power + FLOOR
    assert torch.allclose(frames_of(Mfcc(16_000, 20), samples), expected, atol=1e-4)


@pytest.mark.parametrize(("rate", "bins", "length"), [(16_000, 40, 8_000), (16_000, 80, 5_017), (8_000, 23, 4_000)])
def test_fbank_is_that_of_kaldi(rate: int, bins: int, length: int) -> None:
    torchaudio()
    from torchaudio.compliance.kaldi import fbank

    samples = sound(1, length)
    expected = fbank(samples * 2**15, num_mel_bins=bins, sample_frequency=rate, dither=0.0)
    found = frames_of(Fbank(rate, bins), samples)[0]
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < 1e-4


@in_each_state
@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_nothing(kind: str) -> None:
    features = KINDS[kind](16_000, dynamic_range=30)
    lengths = [100, 399, 400, 401, 559, 560, 3_000, 8_000]
    mask = torch.arange(9_000) < torch.tensor(lengths)[:, None]
    samples = torch.where(mask, sound(len(lengths), 9_000), 1e3)  # the padding is not even silent
    together, there = features(samples, mask)
    for row, length in enumerate(lengths):
        alone = frames_of(features, samples[row : row + 1, :length])[0]
        assert there[row].sum() == len(alone) == max(1, 1 + (length - 400) // 160)
        assert torch.allclose(together[row][there[row]], alone, atol=1e-5)


@pytest.mark.parametrize("kind", ["log_mel", "fbank"])
def test_what_is_too_quiet_is_raised(kind: str) -> None:
    loud, quiet = sound(1, 4_000), sound(1, 4_000, seed=1) / 1_000  # -60 dB
    samples = torch.cat([loud, quiet], dim=1)
    whole, cut = frames_of(KINDS[kind](16_000), samples), frames_of(KINDS[kind](16_000, dynamic_range=40), samples)
    floor = whole.max() - 4 * np.log(10)
    assert torch.allclose(cut, whole.clamp(min=floor), atol=0.01)
    assert (cut[0, -10:] - floor).abs().max() < 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_silence_is_finite_and_an_empty_row_has_no_frames(kind: str) -> None:
    frames, mask = KINDS[kind](8_000, dynamic_range=40)(
        torch.zeros(2, 1_000), torch.tensor([[True], [False]]).expand(2, 1_000)
    )
    assert frames.isfinite().all() and mask.any(dim=1).tolist() == [True, False]


def test_sixteen_bits_around_it_change_nothing() -> None:
    features, samples = LogMel(16_000), sound(1, 4_000)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(frames_of(features, samples), frames_of(LogMel(16_000), samples))
        assert frames_of(features, samples).dtype == torch.float32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bins": 128}, "128 mel bins are too many for windows of 200 samples at 8000 Hz"),
        ({"high": 5_000}, "Mel bins from 20 to 5000 Hz do not fit 0 to 4000 Hz"),
        ({"low": 4_000}, "Mel bins from 4000 to 4000 Hz"),
    ],
)
def test_features_that_a_rate_cannot_have_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LogMel(8_000, **options)


def test_more_coefficients_than_bins_are_refused() -> None:
    with pytest.raises(ConfigError, match="40 mel bins have no 41 coefficients"):
        Mfcc(16_000, 41)
