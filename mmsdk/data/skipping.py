"""How many samples may be left out because they cannot be read."""

from __future__ import annotations

from mmsdk.errors import DataError, DecodeError


def budget(rows: int) -> int:
    """So many of the rows may be bad: more than that is no accident."""
    return max(10, rows // 1000)


def as_told(error: DecodeError) -> dict[str, str | None]:
    """What cannot be read, for JSON."""
    return {"id": error.sample, "stream": error.stream, "reason": error.reason}


class Skipped(list[DecodeError]):
    """The samples that could not be read, for arguments called `skipped`: at most 10, or 0.1 % of `rows`.

    Raises, when it is given one more:
        DataError: says how many, and why the last one.
    """

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.rows = rows

    def append(self, error: DecodeError) -> None:
        super().append(error)
        require_few(len(self), self.rows, error)


def require_few(bad: int, rows: int, last: DecodeError) -> None:
    """Raises:
    DataError: more of the rows are bad than may be left out; says why the last one is.
    """
    if bad > budget(rows):
        raise DataError(f"{bad} of {rows} samples cannot be read, the budget is {budget(rows)}; the last one: {last}")
