"""mmsdk export RUN"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from mmsdk.cli.options import Json, RunFolder, answer


def command(
    run: RunFolder,
    format: Annotated[Literal["onnx", "torch"], typer.Option(help="ONNX, or a program of torch.export.")] = "onnx",
    output: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The folder to write; by default exported/ and the format, in the run's."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="A file or shards to check the graph with, instead of the run's own data.")
    ] = None,
    json: Json = False,
) -> None:
    """Write a trained pipeline as a graph, and check on real rows that it says the same."""
    from mmsdk.export.run_export import export_run

    folder, heads, batches, difference = export_run(run, format, output, data)
    told = {"exported": str(folder), "format": format, "heads": heads, "batches": batches, "difference": difference}
    text = f"{folder}: {', '.join(heads)}; {batches} batches as in torch, to {difference:.1e}"
    answer(told, json, text)
