"""The command line: one short module per command; what is heavy is imported when a command runs."""

from __future__ import annotations

import io
import json
import os
import sys
from typing import Annotated

import typer
from typer.core import TyperGroup

from mmsdk.cli import (
    compare,
    data,
    doctor,
    embed,
    evaluate,
    explain,
    export,
    new,
    plugins,
    predict,
    push,
    quickstart,
    report,
    schema,
    train,
    validate,
)
from mmsdk.cli.foreign import foreign_command, foreign_names
from mmsdk.errors import Interrupted, MmsdkError


class Commands(TyperGroup):
    """Our commands, and those of plugins (listed from metadata, imported when called)."""

    def list_commands(self, ctx):  # type: ignore[no-untyped-def]
        own = super().list_commands(ctx)
        return [*own, *(name for name in foreign_names() if name not in own)]

    def get_command(self, ctx, cmd_name):  # type: ignore[no-untyped-def]
        return super().get_command(ctx, cmd_name) or foreign_command(cmd_name)

    def invoke(self, ctx):  # type: ignore[no-untyped-def]
        """An error that mmsdk raises on purpose is a message and exit code 1, never a traceback."""
        as_json = "--json" in ctx.args
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except MmsdkError as error:
            print(f"error: {error}", file=sys.stderr)
            if as_json:
                print(json.dumps({"error": str(error)}, ensure_ascii=False))
            sys.exit(1)
        except Interrupted as stop:  # which has been told on stderr, and ends the process with its own code
            if as_json:
                print(json.dumps({"error": str(stop)}, ensure_ascii=False))
            raise
        except KeyboardInterrupt:
            print("\nStopped. A training run goes on from its last checkpoint with --resume.", file=sys.stderr)
            sys.exit(130)
        except BrokenPipeError:  # the reader of our output has gone, as in `| head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(141)


app = typer.Typer(
    cls=Commands,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Multimodal fusion from plugins: declare a pipeline in a config, train it, use it.",
)
for module in (
    quickstart,
    new,
    validate,
    schema,
    data,
    train,
    evaluate,
    explain,
    report,
    compare,
    predict,
    embed,
    export,
    push,
    doctor,
):
    app.command(module.__name__.rpartition(".")[2])(module.command)
app.add_typer(plugins.app, name="plugins")


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"mmsdk {version('mmsdk')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None: ...


def main() -> None:
    """Run the command line."""
    # Threads that wait must sleep: on shared cores spinning ones make small products tens of times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # half a character in the data is no reason to fail
    app()
