"""mmsdk index RUN"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmsdk_retrieval.commands import Json, OnError, RunFolder, answer, application, left_out


def command(
    run: RunFolder,
    data: Annotated[Path, typer.Option(help="Samples: a file, or a pattern of shards.", show_default=False)],
    out: Annotated[Path, typer.Option(metavar="INDEX", help="The folder of the index.", show_default=False)],
    streams: Annotated[
        str | None, typer.Option(metavar="NAME,...", help="What can be searched; by default all that is compared.")
    ] = None,
    head: Annotated[str | None, typer.Option(help="The head that compares; by default the only one.")] = None,
    append: Annotated[bool, typer.Option(help="Add to an index that is there.")] = False,
    on_error: OnError = "raise",
    json: Json = False,
) -> None:
    """Embed every row of a file into an index, which `search` finds them in by text, image, ..."""
    from mmsdk import CheckpointError, ConfigError, DecodeError, Pipeline, Skipped, read_rows
    from mmsdk_retrieval.index import Index

    if append and (streams or head):
        raise ConfigError("--streams and --head belong to a new index: with --append they are those of the index")
    if not append and out.exists():
        raise CheckpointError(f"{out} exists: add to it with --append, choose another --out, or remove it")
    index = Index.load(out) if append else None
    pipeline = Pipeline.load(run)
    skipped: list[DecodeError] | None = None
    if on_error == "skip":
        skipped = Skipped(sum(1 for _ in read_rows(data)))
    if index is None:
        names = [name.strip() for name in streams.split(",")] if streams else None
        index = Index.build(pipeline, read_rows(data), streams=names, head=head, skipped=skipped, run=run.absolute())
        added = len(index)
    else:
        added = index.append(pipeline, read_rows(data), skipped=skipped)
    index.save(out)
    told = left_out(skipped or ())
    result = {"index": str(out), "rows": len(index), "added": added, "streams": index.header.streams, "skipped": told}
    answer(result, json, f"{out}: {added} rows added, {len(index)} in all, {len(told)} left out")


app = application(command)
