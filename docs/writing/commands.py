"""docs/cli.md: every command of mmsdk and of the plugins in this repository, from its own help."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from typer.main import get_command

from mmsdk.cli import app
from mmsdk.plugins.metadata import COMMANDS

PLUGINS = Path(__file__).parent.parent.parent / "plugins"
HEADER = """# The command line

Written by `docs/write_reference.py` from the commands' own help; do not edit. `mmsdk COMMAND --help` says the same.

Exit codes: 0 done, 1 an error that was told, 2 a mistake in the command, 85 a training that a signal ended, with its
work saved. With `--json` a command prints one JSON object, last, on stdout; messages and progress go to stderr. A
command of a plugin is there once it is installed.
"""
MORE = {
    "quickstart": "../README.md",
    "new": "your_own_data.md",
    "validate": "config.md",
    "schema": "config.md",
    "data": "your_own_data.md",
    "train": "training.md",
    "evaluate": "modality_worth.md",
    "explain": "modality_worth.md",
    "report": "report.md",
    "compare": "compare.md",
    "predict": "predict.md",
    "embed": "predict.md",
    "export": "export.md",
    "push": "hub.md",
    "doctor": "plugins.md",
    "plugins": "plugins.md",
    "plugins new": "write_a_fusion.md",
    "plugins check": "testing_a_plugin.md",
}
"""Where to read on, by command; that of a plugin leads to the plugin's README."""


def commands() -> str:
    """The page."""
    parts = [HEADER]
    own: Any = get_command(app)
    parts.append(_options(own, own.make_context("mmsdk", [], resilient_parsing=True)))
    for name, command in own.commands.items():
        parts += _told(name, command, MORE[name])
        for inner, each in getattr(command, "commands", {}).items():
            parts += _told(f"{name} {inner}", each, MORE[f"{name} {inner}"])
    for package, name, command in foreign():
        parts += _told(name, command, f"../plugins/{package}/README.md", package)
    return "\n\n".join(part.strip() for part in parts) + "\n"


def foreign() -> list[tuple[str, str, Any]]:
    """(package, name, command) of each command that a plugin in this repository brings."""
    here = {path.name for path in PLUGINS.iterdir()}
    found = [(point.dist.name, point) for point in entry_points(group=COMMANDS) if point.dist is not None]
    return sorted(
        ((package, point.name, get_command(point.load())) for package, point in found if package in here),
        key=lambda each: each[:2],
    )


def _told(name: str, command: Any, more: str, package: str = "") -> Iterator[str]:
    context = command.make_context(name, [], resilient_parsing=True)
    yield f"## mmsdk {name}"
    yield f"```text\nmmsdk {name} {' '.join(command.collect_usage_pieces(context))}\n```"
    about = inspect.cleandoc(command.help or "")
    yield f"{about}\n\nFrom `{package}`." if package else about
    yield _options(command, context)
    yield f"More: [{more.removeprefix('../')}]({more})"


def _options(command: Any, context: Any) -> str:
    """A table of what a command takes."""
    records = [record for each in command.params if (record := each.get_help_record(context)) is not None]
    rows = [f"| `{_cell(what)}` | {_cell(text)} |" for what, text in records if not what.startswith("--help")]
    return "\n".join(["| | |", "| --- | --- |", *rows])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
