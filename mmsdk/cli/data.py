"""mmsdk data FILE"""

from __future__ import annotations

from mmsdk.cli.options import Json


def command(json: Json = False) -> None:
    """What is in a data file."""
