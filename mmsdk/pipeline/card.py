"""The model card of a saved pipeline: what it reads, how good it is, on which data, what it needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mmsdk.config.card import CardConfig
from mmsdk.pipeline.front_matter import front_matter

if TYPE_CHECKING:
    from mmsdk.config.pipeline import PipelineConfig
    from mmsdk.pipeline.pipeline import Pipeline


def model_card(pipeline: Pipeline, head: Mapping[str, Any]) -> str:
    """Markdown, under a head in YAML. `head` is the content of pipeline.json."""
    config = pipeline.config
    card = config.card or CardConfig()
    parameters = sum(parameter.numel() for parameter in pipeline.parameters())
    fusion = config.fusion.type_name() if config.fusion is not None else "none"
    parts = [
        front_matter(config, head),
        f"# {_line(card.name or 'A multimodal pipeline, made with mmsdk')}",
        card.description,
        f"{parameters:,} parameters. Fusion: {fusion}. Any stream may be absent in a sample.",
        _table(["stream", "column", "modality", "encoder"], _streams(config)),
        _table(["head", "task", "reads"], ([n, h.type_name(), ", ".join(h.reads)] for n, h in config.heads.items())),
        "## Data",
        _line(card.dataset or ""),
        _table(["split", "samples"], ([name, f"{rows:,}"] for name, rows in head["rows"].items())) or "Not noted.",
        f"Digest: `{head['data']}`" if head["data"] else None,
        "## Measured",
        _table(["split/head/metric", "value"], ([name, f"{value:.4f}"] for name, value in head["metrics"].items()))
        or "Not measured.",
        "## With some of the streams",
        *(_subsets(head["subsets"]) or ["Not measured: `mmsdk evaluate RUN --subsets --card`."]),
        "## Use",
        '```python\nfrom mmsdk import Pipeline\n\npipeline = Pipeline.from_pretrained("THIS FOLDER OR REPOSITORY")\n'
        f"pipeline.predict([{{{_example(pipeline)}}}])\n```",
        "## Licence",
        card.license or "Not given.",
        "## Needs",
        "\n".join(_needs(head)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str | None:
    """A table of Markdown; None without a row. Names come from configs and tables, and may hold anything."""
    lines = [" | ".join(_line(cell).replace("|", "\\|") for cell in row) for row in rows]
    whole = [" | ".join(columns), " | ".join("---" for _ in columns), *lines]
    return "\n".join(f"| {line} |" for line in whole) if lines else None


def _line(text: str) -> str:
    return " ".join(text.split())


def _streams(config: PipelineConfig) -> Iterable[Sequence[str]]:
    for name in config.streams:
        own, column = config.streams[config.owner_of(name)], config.column_of(name)
        if own.modality is not None and own.encoder is not None:
            columns = column if isinstance(column, str) else ", ".join(column)
            yield [name, columns, own.modality.type_name(), own.encoder.type_name()]


def _subsets(subsets: Sequence[Mapping[str, Any]]) -> list[str]:
    """A table per split and head: a line for each subset of the streams, a column for each metric."""
    places = dict.fromkeys(name.rpartition("/")[0] for each in subsets for name in each["metrics"])
    parts = []
    for place in places:
        own = [(each["streams"], _under(place, each["metrics"])) for each in subsets]
        metrics = list(dict.fromkeys(name for _, figures in own for name in figures))
        rows = [[" + ".join(streams), *(_figure(name, figures) for name in metrics)] for streams, figures in own]
        table = _table(["streams", *metrics], rows)
        parts += [f"{place}:", table] if table else []
    return parts


def _under(place: str, figures: Mapping[str, float]) -> dict[str, float]:
    named = ((*name.rpartition("/"), value) for name, value in figures.items())
    return {metric: value for where, _, metric, value in named if where == place}


def _figure(name: str, figures: Mapping[str, float]) -> str:
    if name not in figures:
        return "-"
    return f"{figures[name]:,.0f}" if name == "rows" else f"{figures[name]:.4f}"


def _needs(head: Mapping[str, Any]) -> Iterable[str]:
    yield f"- mmsdk {head['mmsdk']}"
    yield f"- torch {head['torch']}"
    for each in head["plugins"].values():
        yield f"- {each['distribution']} {each['version']}" if each["distribution"] else f"- {each['component']}"


def _example(pipeline: Pipeline) -> str:
    columns = [pipeline.config.column_of(name) for name in pipeline.config.streams]
    names = [name for column in columns for name in ([column] if isinstance(column, str) else column)]
    return ", ".join(f'"{name}": ...' for name in dict.fromkeys(names))
