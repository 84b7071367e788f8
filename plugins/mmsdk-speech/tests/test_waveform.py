"""`speech.waveform`: items, batches, and variations that leave the item alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmsdk import DecodeError, Format
from mmsdk_speech.waveform import Waveform

VARIATIONS: list[dict[str, Any]] = [{"speed": 0.2}, {"shift": 0.1}, {"gain": 6.0}, {"noise": (5.0, 20.0)}]


def test_a_path_its_bytes_and_its_samples_are_the_same(
    tmp_path: Path, tone: Callable[..., Any], encoded: Callable[..., bytes]
) -> None:
    samples, waveform = tone(), Waveform()
    path = tmp_path / "a.wav"
    path.write_bytes(encoded(samples, subtype="FLOAT"))
    for value in (path, str(path), path.read_bytes(), {"samples": samples.tolist(), "rate": 16_000}):
        assert np.allclose(waveform.prepare(value), samples, atol=1e-7)
    assert waveform.format == Format("waveform", rate=16_000.0)


def test_a_batch_is_padded_with_silence() -> None:
    waveform = Waveform()
    batch = waveform.collate([np.ones(3, dtype=np.float32), np.ones(5, dtype=np.float32), waveform.blank()])
    assert batch["samples"].dtype == torch.float32 and batch["samples"].sum(dim=1).tolist() == [3, 5, 0]
    assert batch["mask"].sum(dim=1).tolist() == [3, 5, 1] and batch["mask"][0].tolist() == [True] * 3 + [False] * 2


def test_trimming_is_part_of_the_decoding(tone: Callable[..., Any]) -> None:
    padded = np.concatenate([np.zeros(8_000, dtype=np.float32), tone(0.2), np.zeros(8_000, dtype=np.float32)])
    value = {"samples": padded, "rate": 16_000}
    assert len(Waveform().prepare(value)) == len(padded)
    assert len(Waveform(trim=40).prepare(value)) < 4_500


def test_what_is_shorter_than_a_sample_is_refused(torchaudio_state: str) -> None:
    value = {"samples": [0.1], "rate": 192_000}
    try:
        item = Waveform(rate=1_000).prepare(value)
    except DecodeError as error:
        assert "shorter than one sample" in str(error)
    else:
        assert len(item) == 1


@pytest.mark.parametrize("options", VARIATIONS, ids=lambda options: next(iter(options)))
def test_each_variation_differs(options: dict[str, Any], tone: Callable[..., Any]) -> None:
    item, waveform = tone(), Waveform(**options)
    first, other = (waveform.augment(item, np.random.default_rng(seed)) for seed in (1, 2))
    assert first.dtype == np.float32 and not np.array_equal(first, item) and not np.array_equal(first, other)


def test_nothing_varies_unless_it_is_switched_on(tone: Callable[..., Any]) -> None:
    item = tone()
    assert Waveform().augment(item, np.random.default_rng(0)) is item


def test_louder_by_as_much_as_was_asked_for(tone: Callable[..., Any]) -> None:
    item, rng = tone(), np.random.default_rng(0)
    gains = [20 * np.log10(np.abs(Waveform(gain=6.0).augment(item, rng)).max() * 2) for _ in range(200)]
    assert -6.01 <= min(gains) < -5 and 5 < max(gains) <= 6.01


def test_a_sound_of_a_single_sample_survives_everything() -> None:
    waveform = Waveform(speed=0.5, shift=0.01, gain=3, noise=(0, 10), trim=20)
    item = waveform.prepare({"samples": [0.25], "rate": 16_000})
    for seed in range(20):
        varied = waveform.augment(item, np.random.default_rng(seed))
        assert len(varied) >= 1 and np.isfinite(varied).all()


def test_sound_of_16_bits_is_kept_in_16_bits() -> None:
    modality, rng = Waveform(), np.random.default_rng(0)
    whole = rng.integers(-(2**15), 2**15, 100).astype(np.int16)
    for samples, kept in ((whole, np.int16), (rng.uniform(-1, 1, 100), np.float32), ([1.5, 0.0], np.float32)):
        item = modality.prepare({"samples": samples, "rate": 16_000})
        packed = modality.pack(item)
        assert packed["samples"].dtype == kept
        assert np.array_equal(modality.unpack(packed), item)
