"""The probe of torchaudio: whatever state it is in, there is an answer, and sounds are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mmsdk_speech import native
from mmsdk_speech.native import try_torchaudio
from mmsdk_speech.waveform import Waveform

REASONS = {"hidden": "ModuleNotFoundError: ", "broken": "OSError: libcudart.so.13: cannot open shared object file"}


def test_the_reason_is_told(torchaudio_state: str) -> None:
    module, reason = try_torchaudio()
    if torchaudio_state == "loaded":
        assert module is not None and module.__name__ == "torchaudio" and reason is None
    else:
        assert module is None and reason is not None and reason.startswith(REASONS[torchaudio_state])


def test_it_asks_once(torchaudio_state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = try_torchaudio()
    monkeypatch.setattr(native, "import_module", lambda name: pytest.fail("asked again"))
    assert try_torchaudio() is first


@pytest.mark.parametrize("error", [RuntimeError("operator does not exist"), AttributeError("_C"), ImportError("no")])
def test_each_way_to_fail_is_caught(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def broken(name: str) -> Any:
        raise error

    try_torchaudio.cache_clear()
    monkeypatch.setattr(native, "import_module", broken)
    assert try_torchaudio() == (None, f"{type(error).__name__}: {error}")
    try_torchaudio.cache_clear()


def test_files_are_read_and_resampled(
    torchaudio_state: str, tone: Callable[..., Any], encoded: Callable[..., bytes]
) -> None:
    item = Waveform(rate=8_000).prepare(encoded(tone(0.5, 440, 16_000)))
    assert item.dtype == np.float32 and len(item) == 4_000
    assert np.abs(item - tone(0.5, 440, 8_000))[200:-200].max() < 2e-3
