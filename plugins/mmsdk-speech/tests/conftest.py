"""What the tests share: sounds, and torchaudio in each state that a machine can have it in."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from mmsdk_speech.native import try_torchaudio


def _tone(seconds: float = 0.5, frequency: float = 440.0, rate: int = 16_000) -> np.ndarray[Any, Any]:
    times = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * frequency * times)).astype(np.float32)


def _encoded(
    samples: np.ndarray[Any, Any], rate: int = 16_000, format: str = "WAV", subtype: str | None = None
) -> bytes:
    file = BytesIO()
    soundfile.write(file, samples, rate, format=format, subtype=subtype)
    return file.getvalue()


@pytest.fixture
def tone() -> Callable[..., np.ndarray[Any, Any]]:
    """A sine: seconds, frequency in Hz, rate."""
    return _tone


@pytest.fixture
def encoded() -> Callable[..., bytes]:
    """The bytes of a sound file: samples, rate, format, subtype."""
    return _encoded


@pytest.fixture(params=["loaded", "hidden", "broken"])
def torchaudio_state(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """torchaudio as it is, as if it were not installed, and as if it were built for another CUDA."""
    try_torchaudio.cache_clear()
    if request.param == "loaded" and try_torchaudio().module is None:
        pytest.skip(f"torchaudio does not load here: {try_torchaudio().reason}")
    if request.param != "loaded":
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchaudio"]:
            monkeypatch.delitem(sys.modules, name)
    if request.param == "hidden":
        monkeypatch.setitem(sys.modules, "torchaudio", None)
    if request.param == "broken":
        package = tmp_path / "broken" / "torchaudio"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("raise OSError('libcudart.so.13: cannot open shared object file')\n")
        monkeypatch.syspath_prepend(package.parent)
    try_torchaudio.cache_clear()
    yield request.param
    try_torchaudio.cache_clear()
