"""What goes away does so in time, and says what to use instead."""

from __future__ import annotations

import inspect
from datetime import date, timedelta

import pytest

from mmsdk.deprecations import DEPRECATED, Deprecation, warn_deprecated

TABLE = {"mmsdk.old": Deprecation("0.3", date(2030, 1, 31), "mmsdk.new")}


def overdue(table: dict[str, Deprecation], today: date) -> list[str]:
    return [name for name, each in table.items() if each.until < today]


def test_nothing_is_overdue() -> None:
    assert not overdue(dict(DEPRECATED), date.today()), "remove these, and say so in CHANGELOG.md"


def test_a_day_too_late_would_be_noticed() -> None:
    until = TABLE["mmsdk.old"].until
    assert overdue(TABLE, until) == [] and overdue(TABLE, until + timedelta(days=1)) == ["mmsdk.old"]


def test_the_warning_points_at_the_caller_and_says_what_to_use() -> None:
    def old() -> None:
        warn_deprecated("mmsdk.old", TABLE)

    with pytest.warns(FutureWarning, match=r"since mmsdk 0\.3 and goes away after 2030-01-31: use mmsdk\.new") as seen:
        line = inspect.currentframe().f_lineno + 1  # type: ignore[union-attr]
        old()
    assert (seen[0].filename, seen[0].lineno) == (__file__, line)
