"""mmsdk generate RUN"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer


def command(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run's folder, or a saved pipeline.", show_default=False)
    ],
    out: Annotated[
        Path,
        typer.Option(metavar="PATH", help="grid.png for one picture of all, or a folder to make.", show_default=False),
    ],
    values: Annotated[
        list[str], typer.Argument(metavar="[COLUMN=VALUE]...", help="What is wanted.", show_default=False)
    ] = [],  # noqa: B006
    data: Annotated[Path | None, typer.Option(help="Many conditions: a file, or a pattern of shards.")] = None,
    number: Annotated[int, typer.Option(min=1, help="Pictures of each condition.")] = 1,
    guidance: Annotated[
        float | None, typer.Option(help="How far the condition is exaggerated; 0 for as it was learned.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="How often the network is asked for a picture.")] = None,
    scheduler: Annotated[Literal["ddpm", "ddim", "dpm_solver", "euler"] | None, typer.Option()] = None,
    seed: Annotated[int | None, typer.Option(help="Another one draws other pictures.")] = None,
    head: Annotated[str | None, typer.Option(help="The head that draws; by default the only one.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object, last, on stdout.")] = False,
) -> None:
    """Draw pictures of what is wanted. What is not given is as the pipeline was trained with."""
    from json import dumps

    from mmsdk import ConfigError, DataError, Pipeline, read_rows
    from mmsdk_diffusion.conditions import read_condition
    from mmsdk_diffusion.generation import drawing_head, generate, write_grid, write_pictures

    if bool(values) == (data is not None):
        raise ConfigError("Give one condition as COLUMN=VALUE ..., or a file of many with --data FILE.jsonl")
    if out.suffix and out.suffix.lower() != ".png":
        raise ConfigError(f"--out {out}: expected a .png file, for all pictures in one, or a folder to make")
    pipeline = Pipeline.load(run)
    samples: list[Any] = list(read_rows(data)) if data is not None else [read_condition(pipeline, values)]
    if not samples:
        raise DataError(f"{data}: there are no samples in this file")
    name = drawing_head(pipeline, head)
    settings = {"guidance": guidance, "steps": steps, "scheduler": scheduler, "seed": seed}
    given = {key: value for key, value in settings.items() if value is not None}
    generated = generate(pipeline, samples, number=number, head=name, **given)
    if out.suffix:
        count = write_grid(out, generated)
    else:
        count = write_pictures(out, generated, pipeline.config.heads[name].target_column() or "picture")
    result = {"out": str(out), "conditions": len(samples), "pictures": count}
    print(dumps(result) if json else f"{count} pictures in {out}")


app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)
app.command()(command)
