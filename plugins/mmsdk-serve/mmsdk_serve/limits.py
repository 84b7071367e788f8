"""How much a server takes on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """waiting: samples that may wait for a pipeline; more are refused. batch: samples that are answered together.

    deadline: seconds until a request is given up. body: bytes of a request. reading: seconds until they are there, or
    until its headers are. values: of JSON in it: numbers, texts, lists, ...
    """

    waiting: int = 64
    batch: int = 32
    deadline: float = 30.0
    body: int = 20_000_000
    values: int = 1_000_000
    reading: float = 10.0
