"""A pytest plugin that writes down each test as it begins and as it ends, for whoever watches from another process."""

from __future__ import annotations

import json
import os
from typing import Any


def _write(**facts: Any) -> None:
    with open(os.environ["MMSDK_REPORT"], "a", encoding="utf-8") as file:
        file.write(json.dumps(facts) + "\n")


def pytest_runtest_logstart(nodeid: str) -> None:
    _write(test=_short(nodeid), outcome="started")


def pytest_runtest_logreport(report: Any) -> None:
    if report.when == "call" or report.outcome != "passed":
        _write(test=_short(report.nodeid), outcome=report.outcome, why=_why(report))


def pytest_collectreport(report: Any) -> None:
    if report.failed:
        _write(test=_short(report.nodeid), outcome="failed", why=str(report.longrepr))


def _short(nodeid: str) -> str:
    """Component and promise, without the file and the `Test_` that pytest asks for."""
    return nodeid.partition("::")[2].removeprefix("Test_") or nodeid


def _why(report: Any) -> str:
    """The message of a failed or skipped test, without the traceback."""
    if report.outcome == "passed":
        return ""
    if isinstance(report.longrepr, tuple):  # skipped: file, line, reason
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message if crash is not None else report.longrepr)
