"""mmsdk train CONFIG"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsdk.cli.options import Config, Json, Overrides, answer, metrics_table

if TYPE_CHECKING:
    from mmsdk.training.loop import Trained


def command(
    config: Config,
    out: Annotated[Path | None, typer.Option(help="The run's folder.", show_default="runs/<config>")] = None,
    overrides: Overrides = [],  # noqa: B006 - typer reads it
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run that is there.")] = False,
    json: Json = False,
) -> None:
    """Train a pipeline from a config, and save it."""
    from mmsdk.config.file import load_config

    load_config(config, overrides)  # a mistake in the config is told before torch is imported
    from mmsdk.training.loop import train

    trained = train(config, out=out, resume=resume, overrides=overrides)
    result = {
        "run": str(trained.run),
        "metrics": trained.metrics,
        "seconds": trained.seconds,
        "samples_per_second": trained.samples_per_second,
    }
    answer(result, json, f"{metrics_table(trained.metrics)}\n\nrun: {trained.run}{_use(trained)}")


def _use(trained: Trained) -> str:
    """What to type next."""
    pipeline = trained.pipeline
    if any(head.predicts for head in pipeline.config.heads.values()):
        return f"\nuse it: mmsdk predict {trained.run} COLUMN=VALUE ..."
    if any(head.embeds for head in pipeline.heads.values()):
        return f"\nuse it: mmsdk embed {trained.run} --data FILE"
    return ""
