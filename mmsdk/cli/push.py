"""mmsdk push RUN owner/name"""

from __future__ import annotations

from typing import Annotated

import typer

from mmsdk.cli.options import Json, RunFolder, answer


def command(
    run: RunFolder,
    repository: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="A repository of the Hugging Face hub.")],
    license: Annotated[
        str | None, typer.Option(help="For the model card, such as apache-2.0; by default that of the config.")
    ] = None,
    private: Annotated[bool | None, typer.Option("--private/--public", help="Of a new repository.")] = None,
    branch: Annotated[str | None, typer.Option(help="By default main.")] = None,
    propose: Annotated[bool, typer.Option("--propose", help="As a pull request.")] = False,
    json: Json = False,
) -> None:
    """Put a trained pipeline on the Hugging Face hub, for those whom `hf auth login` lets."""
    from mmsdk.pipeline.pipeline import Pipeline

    pipeline = Pipeline.load(run)
    address = pipeline.push_to_hub(
        repository, license=license, private=private, branch=branch, create_pr=propose or None
    )
    answer({"run": str(run), "repository": repository, "commit": address}, json, f"pushed: {address}")
