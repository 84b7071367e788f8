"""What is public and goes away: since when, until when, and what to use instead. Standard library only."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from datetime import date
from typing import NamedTuple


class Deprecation(NamedTuple):
    """since: the version that began to warn. until: the day after which a test fails as long as it is still there."""

    since: str
    until: date
    instead: str


DEPRECATED: Mapping[str, Deprecation] = {}
"""By public name, such as `mmsdk.evaluate` or `training.clip`."""


def warn_deprecated(name: str, table: Mapping[str, Deprecation] = DEPRECATED) -> None:
    """Warn whoever called the function that calls this; as a FutureWarning, because users have to see it."""
    since, until, instead = table[name]
    text = f"{name} is deprecated since mmsdk {since} and goes away after {until:%Y-%m-%d}: use {instead}"
    warnings.warn(text, FutureWarning, stacklevel=3)
