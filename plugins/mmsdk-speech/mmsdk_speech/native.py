"""torchaudio, where it really loads.

Whether it is installed says little: it is built for certain builds of torch and of CUDA, and beside any other it
fails with one of several errors. So it is imported to find out, once, and whatever needs it has another way.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from types import ModuleType
from typing import NamedTuple


class Native(NamedTuple):
    """A library with native code: the module, or None and the reason why it cannot be used."""

    module: ModuleType | None
    reason: str | None


@cache
def try_torchaudio() -> Native:
    """torchaudio with its functional part, or why not; `try_torchaudio.cache_clear()` asks again."""
    try:
        import_module("torchaudio.functional")
        return Native(import_module("torchaudio"), None)
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        return Native(None, f"{type(error).__name__}: {error}")
