"""What a run says while it trains: a bar in a terminal, plain lines elsewhere. On stderr, by one process."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType


class Progress:
    """A live bar with ETA and samples per second, or a line per epoch without a terminal."""

    def __init__(self, shown: bool) -> None:
        self.shown = shown
        self._bar = None
        if shown and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=Console(stderr=True),
            )

    def __enter__(self) -> Progress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def stage(self, name: str, absent: int, step: int, steps: int) -> None:
        if absent and step == 0:
            self.say(f"{name}: {absent} training rows without any stream are left out")
        if self._bar is not None:
            for task in self._bar.task_ids:
                self._bar.update(task, visible=False)
            self._bar.add_task(name, total=steps, completed=step, note="")

    def advance(self, loss: float, samples_per_second: float) -> None:
        if self._bar is not None:
            note = f"loss {loss:.4f}, {samples_per_second:,.0f} samples/s"
            self._bar.update(self._bar.task_ids[-1], advance=1, note=note)

    def say(self, line: str) -> None:
        if self._bar is not None:
            self._bar.console.print(line, highlight=False, markup=False)
        elif self.shown:
            with suppress(OSError):  # a file on a full disk is no reason to stop
                print(line, file=sys.stderr, flush=True)

    def epoch(
        self, stage: str, epoch: int, epochs: int, losses: Mapping[str, float], metrics: Mapping[str, float]
    ) -> None:
        """One line: each head's loss, and its main metric (the first of its metrics)."""
        main: dict[str, str] = {}
        for name in metrics:
            main.setdefault(name.partition("/")[0], name)
        lost = ", ".join(f"{name} {value:.4f}" for name, value in losses.items())
        figures = ", ".join(f"{main[head]} {metrics[main[head]]:.4f}" for head in losses if head in main)
        self.say(f"{stage} {epoch}/{epochs}: loss {lost}" + (f" | valid {figures}" if figures else ""))
