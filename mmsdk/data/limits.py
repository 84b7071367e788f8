"""Values that reach the `max_length` of their modality: whatever they have beyond it is lost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, NamedTuple, Protocol

from mmsdk.data.samples import Row
from mmsdk.errors import DecodeError

MOST = 20_000
"""Rows that are looked at."""


class Port(Protocol):
    """A stream or a target, and the modality that reads it."""

    @property
    def name(self) -> str: ...
    @property
    def modality(self) -> Any: ...
    def raw(self, row: Row) -> Any: ...
    def prepare(self, row: Row, value: Any) -> Any: ...


class Filled(NamedTuple):
    """So many values, `reached` of `of`, reach the limit."""

    name: str
    reached: int
    of: int
    max_length: int

    def __str__(self) -> str:
        return (
            f"'{self.name}': {self.reached:,} of {self.of:,} values reach max_length {self.max_length:,}, "
            "and lose what they have beyond it: raise it if that matters"
        )


def filled(rows: Iterable[Row], ports: Sequence[Port]) -> list[Filled]:
    """The ports with values that reach the limit, by the first rows; files are not opened for it."""
    limits = {
        port.name: limit
        for port in ports
        if not port.modality.reads_files and isinstance(limit := getattr(port.modality, "max_length", None), int)
    }
    counts, totals = dict.fromkeys(limits, 0), dict.fromkeys(limits, 0)
    limited = [port for port in ports if port.name in limits]
    for row in islice(rows, MOST) if limited else ():
        for port in limited:
            value = port.raw(row)
            if value is None:
                continue
            try:
                item = port.prepare(row, value)
            except DecodeError:  # told elsewhere
                continue
            totals[port.name] += 1
            counts[port.name] += port.modality.length(item) >= limits[port.name]
    return [Filled(name, counts[name], totals[name], limit) for name, limit in limits.items() if counts[name]]
