"""mmsdk evaluate RUN"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmsdk.cli.options import Cache, Json, Precision, RunFolder, answer, metrics_table, say
from mmsdk.cli.tables import figure, table
from mmsdk.errors import ConfigError

if TYPE_CHECKING:
    from mmsdk.cache.reading import Which


def command(
    run: RunFolder,
    data: Annotated[Path | None, typer.Option(help="A file or shards, instead of the run's own data.")] = None,
    split: Annotated[list[str], typer.Option(help="Splits to measure; by default all that were not trained on.")] = [],  # noqa: B006
    subsets: Annotated[bool, typer.Option("--subsets", help="With each subset of the streams.")] = False,
    corruptions: Annotated[
        bool, typer.Option("--corruptions", help="With each stream damaged in ways that its modality knows.")
    ] = False,
    card: Annotated[
        bool, typer.Option("--card", help="Write the figures into the saved pipeline and its model card, too.")
    ] = False,
    cache: Cache = "known",
    precision: Precision = "float32",
    json: Json = False,
) -> None:
    """Measure a trained pipeline on a split, or on another file."""
    if subsets and corruptions:
        raise ConfigError("--subsets and --corruptions are two measurements: give one of them")
    if precision != "float32" and (subsets or corruptions or card):
        raise ConfigError("--precision is for the figures alone: leave --subsets, --corruptions and --card out")
    if corruptions and card:
        raise ConfigError("--card: a model card has no place for --corruptions: leave one of them out")
    if subsets:
        _subsets(run, data, split, card, cache, json)
    elif corruptions:
        _corruptions(run, data, split, cache, json)
    else:
        from mmsdk.evaluation.measuring import evaluate_run

        metrics = evaluate_run(run, data, split, cache, say, precision)
        if card:
            _note(run, metrics=metrics)
        answer({"run": str(run), "metrics": metrics}, json, metrics_table(metrics))


def _note(run: Path, **figures: Any) -> None:
    from mmsdk.pipeline.saving import note

    print(f"written to {note(run, **figures) / 'README.md'}", file=sys.stderr)


def _subsets(run: Path, data: Path | None, split: Sequence[str], card: bool, cache: Which, json: bool) -> None:
    from mmsdk.evaluation.subsets import evaluate_subsets_of_run
    from mmsdk.pipeline.about import SubsetFigures

    found, limited = evaluate_subsets_of_run(run, data, split, cache, say)
    order = [name for subset in found if len(subset) == 1 for name in subset]  # that of the config
    named = [([name for name in order if name in subset], figures) for subset, figures in found.items()]
    plain = [{"streams": streams, "metrics": figures} for streams, figures in named]
    lines = [(" + ".join(streams), figures) for streams, figures in named]
    if card:
        _note(run, subsets=[SubsetFigures.model_validate(each) for each in plain])
    notes = [f"{reason}." for reason in limited.values()]
    answer({"run": str(run), "subsets": plain, "limited": limited}, json, _tables("streams", lines, notes))


def _corruptions(run: Path, data: Path | None, split: Sequence[str], cache: Which, json: bool) -> None:
    from mmsdk.evaluation.robustness import evaluate_corruptions_of_run

    found = evaluate_corruptions_of_run(run, data, split, cache, say)
    lines = [(str(damage or "as it is"), figures) for damage, figures in found.items()]
    plain = [{**damage._asdict(), "metrics": figures} for damage, figures in found.items() if damage is not None]
    answer({"run": str(run), "metrics": found[None], "corruptions": plain}, json, _tables("damage", lines))


def _tables(first: str, lines: Sequence[tuple[str, Mapping[str, float]]], notes: Sequence[str] = ()) -> str:
    """A table per `split/head`, with a line for each name and a column for each metric."""
    titles = dict.fromkeys(_table_of(name) for _, figures in lines for name in figures)
    parts = []
    for title in titles:
        columns = [
            name for name in dict.fromkeys(n for _, figures in lines for n in figures) if _table_of(name) == title
        ]
        rows = [[line, *(_cell(name, figures.get(name)) for name in columns)] for line, figures in lines]
        parts.append(table(title, [first, *(name.rpartition("/")[2] for name in columns)], rows))
    return "\n\n".join([*parts, *notes]) or "no metrics: no held-out split"


def _table_of(name: str) -> str:
    return name.rpartition("/")[0]


def _cell(name: str, value: float | None) -> str:
    return f"{value:,.0f}" if value is not None and name.endswith("/rows") else figure(value)
