"""The training curve of a run, as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

MOST = 24
"""More names than this leave no room for the picture."""


def draw_curve(entries: Sequence[Mapping[str, Any]], path: Path) -> bool:
    """Losses and valid metrics over the epochs of all stages, from a run's log; False without a sound matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except Exception:  # one that is installed and broken raises anything; it must not cost a run its end
        return False
    epochs = [entry for entry in entries if entry["event"] == "epoch"]
    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, key, title in zip(figure.subplots(1, 2), ("losses", "metrics"), ("training loss", "valid"), strict=True):
        names = _shown(list(dict.fromkeys(name for entry in epochs for name in entry[key])))
        for name in names:
            points = [(number, entry[key][name]) for number, entry in enumerate(epochs, start=1) if name in entry[key]]
            axes.plot(*zip(*points, strict=True), marker=".", label=name)
        for number, (before, after) in enumerate(pairwise(epochs), start=1):
            if before["stage"] != after["stage"]:
                axes.axvline(number + 0.5, color="grey", linewidth=0.8)
        axes.set(title=title, xlabel="epoch")
        if names:
            axes.legend(fontsize="x-small")
    figure.savefig(path, dpi=120)
    return True


def _shown(names: Sequence[str]) -> list[str]:
    """All of them where there is room, else the main metric of each head: the first."""
    if len(names) <= MOST:
        return list(names)
    main = {name.partition("/")[0]: name for name in reversed(names)}
    return [name for name in names if name in main.values()][:MOST]
