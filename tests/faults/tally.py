"""Counts what fault tests try and what survives; at the end of a session there is one JSON line for each fault.

`@pytest.mark.faults("F1")` names the fault that a test is about. Such a test is one case, or takes the fixture `tally`
and counts its cases itself. MMSDK_FAULTS=full asks for the full sizes, otherwise they are quick.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import pytest

PROPERTY = "faults"
SIZE = "full" if os.environ.get("MMSDK_FAULTS") == "full" else "quick"


@dataclass
class Tally:
    """What one test, or all tests of one fault, have come to."""

    id: str
    tried: int = 0
    lost: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    sums: dict[str, int] = field(default_factory=dict)

    def size(self, quick: int, full: int) -> int:
        """How many cases to try."""
        return full if SIZE == "full" else quick

    @contextmanager
    def case(self, name: object) -> Iterator[None]:
        """One case. What is raised in it is a loss, or a skip, and the test goes on with the next one."""
        try:
            yield
        except pytest.skip.Exception as skip:
            self.skipped.append(f"{name}: {skip}")
        except (Exception, pytest.fail.Exception) as error:
            self.tried += 1
            self.lost.append(f"{name}: {type(error).__name__}: {error}")
        else:
            self.tried += 1

    def figure(self, name: str, value: float) -> None:
        """The largest of what the cases measure, such as the seconds from a signal to the end."""
        self.figures[name] = max(value, self.figures.get(name, value))

    def sum(self, name: str, value: int) -> None:
        """Something else that is counted, such as the kills that hit a save."""
        self.sums[name] = self.sums.get(name, 0) + value

    def add(self, other: Tally) -> None:
        self.tried += other.tried
        self.lost += other.lost
        self.skipped += other.skipped
        for name, value in other.figures.items():
            self.figure(name, value)
        for name, count in other.sums.items():
            self.sum(name, count)

    def line(self) -> str:
        counts = {"tried": self.tried, "survived": self.tried - len(self.lost), "lost": len(self.lost)}
        return json.dumps({"id": self.id, "size": SIZE, **counts, "skipped": self.skipped, **self.figures, **self.sums})


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Tally:
    """For a test that counts its cases; it fails where one is lost, or where nothing was tried."""
    return Tally(_fault(request.node))


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Iterator[None]:
    done = yield
    counted = pyfuncitem.funcargs.get("tally")
    if isinstance(counted, Tally):
        lost = "\n".join(counted.lost)
        assert not lost, f"{len(counted.lost)} of {counted.tried} lost:\n{lost}"
        assert counted.tried or counted.skipped, "nothing was tried"
    return done


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[Any]:
    """Hand what the test counted over with its report: the process that sums up may be another one."""
    report: pytest.TestReport = yield
    if item.get_closest_marker("faults") is not None:
        counted = getattr(item, "funcargs", {}).get("tally") if report.when == "call" else None
        own = counted if isinstance(counted, Tally) else Tally(_fault(item))
        if report.skipped:
            own.skipped.append(str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr))
        elif report.failed and not own.lost:  # outside of its cases
            own.tried += 1
            own.lost.append(item.nodeid)
        elif report.when == "call" and counted is None:
            own.tried += 1
        report.user_properties.append((PROPERTY, asdict(own)))
    return report


class Totals:
    """Sums up the reports of one session."""

    def __init__(self) -> None:
        self.found: dict[str, Tally] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, counted in report.user_properties:
            if name == PROPERTY:
                own = Tally(**counted)  # type: ignore[arg-type]
                self.found.setdefault(own.id, Tally(own.id)).add(own)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        for total in sorted(self.found.values(), key=lambda total: (total.id[0], int(total.id[1:]))):
            terminalreporter.write_line(total.line())


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Totals())


def _fault(item: pytest.Item) -> str:
    marker = item.get_closest_marker("faults")
    assert marker is not None and marker.args, f"{item.nodeid}: mark it, such as @pytest.mark.faults('F1')"
    return str(marker.args[0])
