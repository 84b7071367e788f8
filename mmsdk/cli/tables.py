"""Tables of figures, as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

BAR = "█"


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of text on the left, and figures. As wide as it has to be, wherever it is shown."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD)
    cells = list(rows)
    for number, column in enumerate(columns):
        text = number == 0 or any(row[number].startswith(BAR) for row in cells)
        made.add_column(Text(column), justify="left" if text else "right", no_wrap=True)
    for row in cells:
        made.add_row(*map(Text, row))
    console = Console(width=10_000)
    with console.capture() as captured:
        console.print(made)
    return "\n".join([title, *(line.rstrip() for line in captured.get().rstrip().splitlines())])


def bar(value: float, longest: float) -> str:
    """A bar for a value, 30 signs long for the longest one."""
    return BAR * round(30 * abs(value) / longest) if longest else ""


def figure(value: float | None) -> str:
    """A figure with four places, "-" where there is none."""
    return "-" if value is None else f"{value:.4f}"
