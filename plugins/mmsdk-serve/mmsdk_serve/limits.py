"""How much a server takes on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """waiting: samples that may wait for a pipeline; more are refused. batch: samples that are answered together.

    deadline: seconds until a request is given up. body: bytes of a request.
    """

    waiting: int = 64
    batch: int = 32
    deadline: float = 30.0
    body: int = 20_000_000
