"""Options that several commands take, and how a command answers."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, last, on stdout.")]
Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="A pipeline in YAML.", show_default=False)]
RunFolder = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run's folder, or a saved pipeline.", show_default=False)
]
AnyEngine = Annotated[
    Literal["torch", "onnxruntime", "ray"] | None,
    typer.Option(
        help="What computes: ONNX Runtime, what `mmsdk export` made of the run; Ray, torch in processes of its own.",
        show_default=False,
    ),
]
Cache = Annotated[
    Literal["known", "all", "files", "off"],
    typer.Option(
        help="Encodings to read and keep: of encoders that were frozen in training, of all, of none but decoded files, "
        "or nothing from a cache."
    ),
]
Precision = Annotated[
    Literal["float32", "bfloat16"],
    typer.Option(help="In which torch computes: bfloat16 where that is faster, and 1 % is close enough."),
]
Device = Annotated[
    Literal["auto", "cpu"], typer.Option(help="Where torch computes: on a GPU if there is one, or on the processor.")
]
Deadline = Annotated[float, typer.Option(metavar="SECONDS", min=0.1, help="How long plugins may take to be imported.")]
Overrides = Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Override a value of the config.")]


def answer(result: dict[str, Any], as_json: bool, text: str = "") -> None:
    """The result for a program, or text for a person; by one process only."""
    if os.environ.get("RANK", "0") != "0":
        return
    print(json.dumps(result, ensure_ascii=False) if as_json else text)


def say(line: str) -> None:
    """Something about the work, beside its result."""
    print(line, file=sys.stderr, flush=True)


def metrics_table(metrics: dict[str, float]) -> str:
    """`split/head/metric` figures, one a line, aligned."""
    width = max((len(name) for name in metrics), default=0)
    return (
        "\n".join(f"{name:<{width}}  {value:.4f}" for name, value in metrics.items()) or "no metrics: no held-out split"
    )
