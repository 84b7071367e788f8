"""Changes of a sound: another rate, silence cut off, and the variations of the training."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mmsdk_speech import editing
from mmsdk_speech.editing import faster, moved, noisy, resampled, trimmed
from mmsdk_speech.native import Native, try_torchaudio


def loudest_frequency(samples: np.ndarray[Any, Any], rate: int) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(samples))) * rate / len(samples))


@pytest.mark.parametrize(("rate", "new"), [(8_000, 16_000), (44_100, 16_000), (22_050, 8_000), (48_000, 16_000)])
def test_torchaudio_and_soxr_agree(
    rate: int, new: int, monkeypatch: pytest.MonkeyPatch, tone: Callable[..., Any]
) -> None:
    if try_torchaudio().module is None:
        pytest.skip(f"torchaudio does not load here: {try_torchaudio().reason}")
    samples = tone(0.5, 300, rate) + tone(0.5, 1_900, rate) / 2
    first = resampled(samples, rate, new)
    monkeypatch.setattr(editing, "try_torchaudio", lambda: Native(None, "hidden"))
    second = resampled(samples, rate, new)
    middle = slice(new // 20, -new // 20)  # the ends differ: what stands beyond them is a matter of taste
    assert abs(len(first) - len(second)) <= 1
    assert np.abs(first[: len(second)] - second[: len(first)])[middle].max() < 2e-3


def test_rates_without_a_common_divisor_never_reach_torchaudio(
    monkeypatch: pytest.MonkeyPatch, tone: Callable[..., Any]
) -> None:
    """Its filters would take gigabytes, for a header that anybody can write."""
    refuse = SimpleNamespace(functional=SimpleNamespace(resample=lambda *_, **__: pytest.fail("torchaudio was asked")))
    monkeypatch.setattr(editing, "try_torchaudio", lambda: Native(refuse, None))  # type: ignore[arg-type]
    assert abs(len(resampled(tone(0.5, 440, 191_999), 191_999, 16_000)) - 8_000) <= 1


def test_what_lies_above_the_new_limit_is_gone(torchaudio_state: str, tone: Callable[..., Any]) -> None:
    assert np.abs(resampled(tone(0.5, 6_000, 16_000), 16_000, 8_000))[200:-200].max() < 1e-3


def test_silence_is_cut_off_at_both_ends(tone: Callable[..., Any]) -> None:
    quiet = 0.001 * np.sin(np.arange(4_800, dtype=np.float32))
    sound = np.concatenate([quiet, tone(0.3), quiet, tone(0.3), quiet])
    cut = trimmed(sound, 16_000, 30)
    assert abs(len(cut) - 14_400) <= 2 * 0.025 * 16_000  # what is quiet between them stays
    assert len(trimmed(sound, 16_000, 80)) > 20_000
    for untouched in (np.zeros(4_000, dtype=np.float32), tone(0.01)):
        assert len(trimmed(untouched, 16_000, 30)) > len(untouched) - 400


def test_faster_is_shorter_and_higher(tone: Callable[..., Any]) -> None:
    changed = faster(tone(1.0, 400), 1.25)
    assert abs(len(changed) - 12_800) <= 1 and changed.dtype == np.float32
    assert loudest_frequency(changed, 16_000) == pytest.approx(500, abs=3)
    assert len(faster(np.ones(1, dtype=np.float32), 1.5)) >= 1


def test_moved_keeps_at_least_half(tone: Callable[..., Any]) -> None:
    sound = tone(0.1)
    assert np.array_equal(moved(sound, 100), np.concatenate([np.zeros(100, dtype=np.float32), sound]))
    assert np.array_equal(moved(sound, -100), sound[100:])
    assert np.array_equal(moved(sound, -(10**6)), sound[800:])
    assert np.array_equal(moved(sound, 0), sound)


@pytest.mark.parametrize("decibels", [0.0, 10.0, 20.0])
def test_noise_has_the_ratio_that_was_asked_for(decibels: float, tone: Callable[..., Any]) -> None:
    sound = tone(2.0)
    noise = noisy(sound, decibels, np.random.default_rng(0)) - sound
    assert 10 * np.log10(np.mean(sound**2) / np.mean(noise**2)) == pytest.approx(decibels, abs=0.2)
