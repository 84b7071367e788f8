"""The part of a file that is read."""

from __future__ import annotations

from typing import NamedTuple

from mmsdk import DecodeError

TOLERANCE = 0.001
"""In seconds: Matroska rounds its time stamps to milliseconds."""


class Window(NamedTuple):
    """From second `start`, for `seconds`, or to the end where that is None. longest: the seconds that may be read."""

    start: float = 0.0
    seconds: float | None = None
    longest: float = 60.0

    @property
    def end(self) -> float:
        """Nothing after it is read."""
        return self.start + (self.longest if self.seconds is None else self.seconds)

    def check(self, end: float, name: str) -> None:
        """Refuse what lasts until second `end` where that is too long."""
        if self.seconds is None and end > self.end + TOLERANCE:
            raise DecodeError(
                f"{name} lasts {end - self.start:.1f} seconds or more; at most {self.longest:g} are read: "
                "cut it, read a part of it with 'start' and 'seconds', or raise 'max_seconds'"
            )

    def check_reached(self, end: float, name: str) -> None:
        """Refuse what ends, at second `end`, before the window begins."""
        if end <= self.start:
            raise DecodeError(f"{name} ends at second {end:.1f}; 'start' is {self.start:g}")
