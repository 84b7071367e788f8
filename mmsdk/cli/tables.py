"""Tables of figures, as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose first column is text, and the others figures. As wide as it has to be, wherever it is shown."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(title=Text(title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for number, column in enumerate(columns):
        made.add_column(Text(column), justify="right" if number else "left", no_wrap=True)
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    console = Console(width=10_000)
    with console.capture() as captured:
        console.print(made)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def figure(value: float | None) -> str:
    """A figure with four places, a count as it is, "-" where there is none."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value == int(value) and abs(value) > 1 else f"{value:.4f}"
