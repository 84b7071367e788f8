"""Commands that plugins bring, in the entry-point group `mmsdk.v1.commands`: name = command, value = a typer app."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer
from typer.core import TyperCommand

from mmsdk.errors import PluginError
from mmsdk.plugins import COMMANDS


@cache
def _found() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=COMMANDS)}


def foreign_names() -> list[str]:
    return sorted(_found())


def foreign_command(name: str) -> TyperCommand | None:
    """A stand-in that imports the plugin when it is called, and hands all arguments on."""
    point = _found().get(name)
    if point is None:
        return None
    source = point.dist.name if point.dist is not None else point.value

    def call(context: Any) -> None:
        try:
            loaded = point.load()
        except (Exception, SystemExit) as error:
            raise PluginError(
                f"command '{name}' of {source} cannot be loaded: {type(error).__name__}: {error}"
            ) from None
        typer.main.get_command(loaded).main(context.args, prog_name=f"mmsdk {name}", standalone_mode=True)

    settings = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
    command = TyperCommand(name, context_settings=settings, help=f"(from {source})", rich_markup_mode=None)
    command.invoke = call  # type: ignore[method-assign, assignment]
    return command
