"""mmsdk plugins new NAME"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import typer

from mmsdk.cli.options import Json, answer


def command(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Such as gestures, for a package mmsdk-gestures.", show_default=False)
    ],
    kind: Annotated[
        Literal["modality", "encoder", "fusion", "head"], typer.Option(help="What it brings.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to write it into.")] = Path("."),
    json: Json = False,
) -> None:
    """Write a complete small plugin to begin with: package, declaration, implementation, tests, README."""
    from mmsdk.scaffold.plugin import write_plugin

    home = write_plugin(name, kind, out)
    made = sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())
    pip = "pip" if find_spec("pip") else "uv pip"
    steps = [f"cd {home}", f'{pip} install --editable ".[testing]"', "pytest", f"mmsdk plugins check {home.name}"]
    lines = [f"wrote {home}:", *(f"  {path}" for path in made), "Next:", *(f"  {step}" for step in steps)]
    answer({"plugin": str(home), "files": made, "next": steps}, json, "\n".join(lines))
