"""mmsdk embed RUN"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from mmsdk.cli.options import Engine, Json, RunFolder, answer


def command(
    run: RunFolder,
    data: Annotated[Path, typer.Option(help="Samples, a .jsonl or .csv file.", show_default=False)],
    head: Annotated[
        str | None, typer.Option(help="The head whose embeddings are meant; by default the only one.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The folder to write; by default embeddings/ and the file's name."),
    ] = None,
    on_error: Annotated[
        Literal["raise", "skip"], typer.Option(help="What to do with a sample that cannot be read.")
    ] = "raise",
    engine: Engine = None,
    json: Json = False,
) -> None:
    """Write the embeddings of every row of a file, by source, as safetensors."""
    from mmsdk.data.embedding_folder import write_embeddings
    from mmsdk.data.skipping import as_told
    from mmsdk.export.run_export import open_with

    folder = out or Path("embeddings") / data.stem
    files, skipped = write_embeddings(open_with(run, engine), data, folder, head=head, skip=on_error == "skip")
    for error in skipped:
        print(f"left out: {error}", file=sys.stderr)
    rows = max(file.rows for file in files.values())
    sources = {name: {"width": file.width, "absent": file.absent} for name, file in files.items()}
    lines = [f"{rows} rows in {folder}, {len(skipped)} left out"]
    lines += [f"  {name}: width {file.width}, absent in {file.absent}" for name, file in files.items()]
    told = {"embeddings": str(folder), "rows": rows, "sources": sources, "skipped": [as_told(each) for each in skipped]}
    answer(told, json, "\n".join(lines))
