"""mmsdk explain RUN"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmsdk.cli.options import Json, RunFolder, answer
from mmsdk.cli.tables import bar, figure, table
from mmsdk.errors import DataError

if TYPE_CHECKING:
    from mmsdk.evaluation.attribution import Worth


def command(
    run: RunFolder,
    data: Annotated[Path | None, typer.Option(help="A file or shards, instead of the run's own data.")] = None,
    split: Annotated[list[str], typer.Option(help="Splits to explain; by default all that were not trained on.")] = [],  # noqa: B006
    head: Annotated[str | None, typer.Option(help="The head; by default every one that can be explained.")] = None,
    samples: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write what each stream did to each sample, a .jsonl file.")
    ] = None,
    json: Json = False,
) -> None:
    """What each stream is worth: exact Shapley values, and which streams need or replace one another."""
    from mmsdk.evaluation.attribution import explain_run

    found = explain_run(run, data, split, head)
    if samples is not None:
        _write(samples, found)
    answer({"run": str(run), "explained": [_plain(worth) for worth in found]}, json, "\n\n".join(map(_text, found)))


def _plain(worth: Worth) -> dict[str, Any]:
    order = list(worth.shapley)
    return {
        **{key: value for key, value in worth._asdict().items() if key not in ("figures", "interactions", "samples")},
        "figures": [
            {"streams": _in_order(subset, order), worth.metric: value} for subset, value in worth.figures.items()
        ],
        "interactions": [
            {"streams": _in_order(pair, order), "interaction": value} for pair, value in worth.interactions.items()
        ],
    }


def _text(worth: Worth) -> str:
    nothing, *_, everything = worth.figures.values()
    lower = "" if worth.larger_is_better else ", where lower is better"
    title = (
        f"{worth.split}/{worth.head}/{worth.metric}{lower}: {figure(everything)} with all streams, {figure(nothing)} "
        f"without any, over {worth.rows:,} samples"
    )
    parts = [table(title, ["stream", "worth", *(["weight"] if worth.weights else []), ""], _shares(worth))]
    if worth.interactions:
        pairs = [
            [" + ".join(_in_order(pair, list(worth.shapley))), _signed(value)]
            for pair, value in worth.interactions.items()
        ]
        parts.append(table("together, beyond what each adds", ["streams", "interaction"], pairs))
    return "\n\n".join(parts)


def _shares(worth: Worth) -> Iterator[list[str]]:
    longest = max(map(abs, worth.shapley.values()))
    for name, value in worth.shapley.items():
        yield [name, _signed(value), *([figure(worth.weights[name])] if worth.weights else []), bar(value, longest)]


def _signed(value: float) -> str:
    return f"{value:+.4f}"


def _in_order(names: frozenset[str], order: Sequence[str]) -> list[str]:
    return [name for name in order if name in names]


def _write(path: Path, found: Sequence[Worth]) -> None:
    """A line for each sample of each head and split."""
    from json import dumps

    lines: Iterator[Mapping[str, Any]] = (
        {"split": worth.split, "head": worth.head, **sample._asdict()} for worth in found for sample in worth.samples
    )
    try:
        with path.open("w", encoding="utf-8") as file:
            file.writelines(dumps(line, ensure_ascii=False) + "\n" for line in lines)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error}") from None
