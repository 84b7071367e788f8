"""mmsdk search INDEX"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from mmsdk_retrieval.commands import IndexFolder, Json, answer, application


def command(
    index: IndexFolder,
    queries: Annotated[
        list[str],
        typer.Argument(
            metavar="STREAM=VALUE...",
            help="What to look for, such as text='a red heart'. Several are joined by their ranks.",
            show_default=False,
        ),
    ],
    k: Annotated[int | None, typer.Option("--k", help="So many results; by default 10, or all.")] = None,
    within: Annotated[
        str | None, typer.Option("--in", metavar="STREAM", help="What is searched; by default what is not asked by.")
    ] = None,
    run: Annotated[Path | None, typer.Option(help="The run that made the index; by default where it was then.")] = None,
    backend: Annotated[Literal["auto", "torch", "faiss"], typer.Option(help="All find the same.")] = "auto",
    gallery: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page with pictures, too.")] = None,
    json: Json = False,
) -> None:
    """Find the rows of an index that are nearest to a text, an image, ..., or to several of them."""
    from mmsdk import ConfigError, Pipeline
    from mmsdk_retrieval.index import Index
    from mmsdk_retrieval.queries import gives, read_query

    opened = Index.load(index)
    home = run or (Path(opened.header.run) if opened.header.run else None)
    if home is None or not home.exists():
        was = f", which was {home}, is not there" if home else " is not known"
        raise ConfigError(f"The run that made {index}{was}: name it with --run RUN")
    pipeline = Pipeline.load(home)
    asked = [read_query(pipeline.config, query) for query in queries]
    hits = opened.search(pipeline, asked, k=k, within=within, backend=backend)
    stream = within or opened.default_stream({name for query in asked for name in query})
    result: dict[str, Any] = {"index": str(index), "in": stream, "hits": [hit._asdict() for hit in hits]}
    if gallery is not None:
        from mmsdk_retrieval.gallery import write_gallery

        pictures = [name for name in pipeline.config.streams if gives(pipeline.config, name) == "pixels"]
        write_gallery(gallery, hits, asked, within=stream, pictures={*opened.header.pictures, *pictures})
        result["gallery"] = str(gallery)
    answer(result, json, "\n".join(f"{hit.rank:>3}  {hit.score:.4f}  {hit.id}  {_brief(hit.values)}" for hit in hits))


def _brief(values: Mapping[str, Any]) -> str:
    """The values that are short texts or numbers, for a line."""
    single = (
        f"{name}={value}" for name, value in values.items() if name != "id" and isinstance(value, str | int | float)
    )
    text = "  ".join(" ".join(each.split()) for each in single)
    return text if len(text) <= 120 else text[:119] + "…"


app = application(command)
