"""mmsdk unindex INDEX ID..."""

from __future__ import annotations

from typing import Annotated

import typer

from mmsdk_retrieval.commands import IndexFolder, Json, answer, application


def command(
    index: IndexFolder,
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="The rows to remove.", show_default=False)],
    json: Json = False,
) -> None:
    """Remove rows from an index."""
    from mmsdk_retrieval.index import Index

    opened = Index.load(index)
    removed = opened.delete(ids)
    opened.save(index)
    result = {"index": str(index), "rows": len(opened), "removed": removed}
    answer(result, json, f"{index}: {removed} rows removed, {len(opened)} left")


app = application(command)
