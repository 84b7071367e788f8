"""mmsdk schema"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmsdk.cli.options import Json, answer


def command(
    output: Annotated[Path | None, typer.Option(help="Write it to a file instead of stdout.")] = None,
    json: Json = False,
) -> None:
    """The JSON Schema of a pipeline config, with every installed component."""
    from json import dumps

    from mmsdk.errors import MmsdkError
    from mmsdk.schema import pipeline_schema

    text = dumps(pipeline_schema(), indent=2, ensure_ascii=False)
    if output is None:
        print(text)
        return
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise MmsdkError(f"{output}: cannot be written: {error}") from None
    answer({"schema": str(output)}, json, f"wrote {output}")
