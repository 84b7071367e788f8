"""mmsdk embed RUN"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from mmsdk.cli.options import AnyEngine, Cache, Device, Json, Precision, RunFolder, answer, say


def command(
    run: RunFolder,
    data: Annotated[Path, typer.Option(help="Samples: a file, or a pattern of shards.", show_default=False)],
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
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what an earlier call did not finish.")] = False,
    engine: AnyEngine = None,
    precision: Precision = "float32",
    device: Device = "auto",
    cache: Cache = "known",
    json: Json = False,
) -> None:
    """Write the embeddings of every row of a file, by source, as safetensors."""
    from mmsdk.data.skipping import as_told
    from mmsdk.export.run_export import open_with
    from mmsdk.parallel.embedding import write_embeddings
    from mmsdk.parallel.team import team

    folder, skip = out or Path("embeddings") / data.stem, on_error == "skip"
    if resume and (folder / "embeddings.json").exists():
        answer({"embeddings": str(folder)}, json, f"{folder} is whole: there is nothing left to do")
        return
    with team() as ours:
        on_ray = run.absolute() if engine == "ray" else None
        pipeline = open_with(run, engine if engine != "ray" else None, precision, device)
        written = write_embeddings(
            pipeline,
            data,
            folder,
            ours,
            head=head,
            skip=skip,
            resume=resume,
            cache=cache,
            on_ray=on_ray,
            say=say,
        )
    if written is None:
        return
    files, skipped = written
    for error in skipped:
        print(f"left out: {error}", file=sys.stderr)
    sources = {name: {"width": file.width, "absent": file.absent} for name, file in files.sources.items()}
    lines = [f"{files.rows} rows in {folder}, {len(skipped)} left out"]
    lines += [f"  {name}: width {file.width}, absent in {file.absent}" for name, file in files.sources.items()]
    told = {"rows": files.rows, "sources": sources, "skipped": [as_told(each) for each in skipped]}
    answer({"embeddings": str(folder), **told}, json, "\n".join(lines))
