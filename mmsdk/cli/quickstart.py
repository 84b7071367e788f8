"""mmsdk quickstart"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from mmsdk.cli.options import Json, answer


def command(
    out: Annotated[Path, typer.Option(help="A new folder for data, config and run.")] = Path("quickstart"),
    json: Json = False,
) -> None:
    """The four steps on real data, in under two minutes."""
    from mmsdk.quickstart.walk import walk

    result = walk(out)
    answer(result, json, _told(result))


def _told(result: dict[str, Any]) -> str:
    """The table, one prediction, and what to type next."""
    columns = ("complete", "image absent", "text absent")
    names = {"answer": "fused", "image_alone": "image alone", "text_alone": "text alone"}
    lines = ["", "test accuracy      " + "".join(f"{column:>14}" for column in columns)]
    for head, title in names.items():
        cells = [result["accuracy"][head].get(column) for column in columns]
        lines.append(
            f"  {title:<17}" + "".join(f"{cell:>14.3f}" if cell is not None else f"{'-':>14}" for cell in cells)
        )
    floors = result["floors"]
    lines.append(f"  floor: logistic regression on the image {floors['image']:.3f}, on the text {floors['text']:.3f}")
    example, folder = result["example"], result["folder"]
    mmsdk = "uv run mmsdk" if "UV_RUN_RECURSION_DEPTH" in os.environ else "mmsdk"  # as the user has typed it
    lines += [
        "",
        f'{example["image"]} + "{example["text"]}" -> {example["answer"]} (confidence {example["confidence"]:.2f})',
        "",
        f"{result['seconds']:.0f} seconds. Next, type:",
        f'  {mmsdk} predict {result["run"]} image={example["image"]} text="is it even?"',
        f"  {mmsdk} evaluate {result['run']}",
        f'  {mmsdk} train {folder}/pipeline.yaml --set "fusion={{type: gated}}"   (or edit the file: it is yours)',
    ]
    return "\n".join(lines)
