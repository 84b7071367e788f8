"""mmsdk plugins, and its commands"""

from __future__ import annotations

import sys
from typing import Any

import typer

from mmsdk.cli.options import Deadline, Json, answer
from mmsdk.cli.plugins import check, new

KINDS = {"modality": "modalities", "encoder": "encoders", "fusion": "fusions", "head": "heads"}

app = typer.Typer(
    invoke_without_command=True,
    no_args_is_help=False,
    rich_markup_mode=None,
    help="Installed plugins and what they bring; or `new` and `check`, for those who write one.",
)
app.command("new")(new.command)
app.command("check")(check.command)


@app.callback()
def command(context: typer.Context, json: Json = False, deadline: Deadline = 30.0) -> None:
    """Installed plugins and what they bring; a broken one is shown with the reason."""
    if context.invoked_subcommand is not None:
        return
    from mmsdk.looking import look, mistaken_switches

    found: list[dict[str, Any]] = []
    lines = []
    looks = look(deadline)
    for mistake in mistaken_switches(each.plugin for each in looks):
        print(f"warning: {mistake}", file=sys.stderr)
    for plugin, components, schema in looks:
        own = {KINDS[kind]: names for kind, names in components.items()}
        origin = {"distribution": plugin.distribution, "version": plugin.version, "api": plugin.api}
        reason = plugin.reason or schema
        found.append({"prefix": plugin.prefix, **origin, "state": plugin.state, "reason": reason, **own})
        lines.append(f"{plugin.distribution} {plugin.version} (API {plugin.api}): {plugin.state}")
        lines += [f"  {reason}"] if reason else []
        lines += [f"  {kind}: {', '.join(names)}" for kind, names in own.items() if names]
    answer({"plugins": found}, json, "\n".join(lines))
