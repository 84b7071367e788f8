"""What more than one message says."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


def listed(names: Iterable[object]) -> str:
    """`'a', 'b'`, or `nothing`."""
    return ", ".join(f"'{name}'" for name in names) or "nothing"


def choice(name: str, known: Sequence[str]) -> str:
    """What could be meant by a name that is not known."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"Did you mean '{near[0]}'?" if near else f"Choose among {listed(known)}."
