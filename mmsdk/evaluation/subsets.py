"""How a pipeline does with each subset of its streams: encoded once, fused and judged many times."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import torch

from mmsdk.cache.ports import Say, silent
from mmsdk.cache.reading import Which
from mmsdk.config.pipeline import PipelineConfig
from mmsdk.config.wiring import FUSED
from mmsdk.containers import Batch, HeadOutput
from mmsdk.data.samples import Row, Sample
from mmsdk.data.sampling import batches
from mmsdk.errors import ConfigError, DecodeError
from mmsdk.evaluation.measuring import (
    BATCH_SIZE,
    collated,
    computed,
    fresh_metrics,
    nothing_to_measure,
    opened,
    require_rows,
    take,
    through_caches,
)
from mmsdk.evaluation.run_data import Part, parts_in_memory, parts_of_run
from mmsdk.metrics import Rows
from mmsdk.pipeline.pipeline import Pipeline
from mmsdk.pipeline.prediction import inference, on_cpu, to_device
from mmsdk.pipeline.reading import Encodings

Subset = frozenset[str]
ROWS = "rows"
MOST_STREAMS = 10
"""Ten streams have 1,023 subsets; each further one doubles them."""


def evaluate_subsets(
    pipeline: Pipeline | str | Path,
    data: Mapping[str, Sequence[Sample | Row]],
    *,
    heads: Sequence[str] | None = None,
    skipped: list[DecodeError] | None = None,
    cache: Which = "known",
) -> dict[Subset, dict[str, float]]:
    """The figures of `evaluate` for each subset of the streams, as if the others were absent in every sample.

    Small subsets first. Beside the metrics there is `split/head/rows`: how many samples a head judged. Samples in which
    nothing of a subset is there are left out of its figures; so is what has no figure at all, such as a search from one
    stream to another with one of them, and heads for which `needs_all` is told.

    Raises:
        ConfigError: there is no such head, or there are more than ten streams. DataError: as in `evaluate`.
    """
    pipeline = opened(pipeline)
    parts = parts_in_memory(pipeline.config, data, heads)
    with through_caches(pipeline, parts, cache):
        return _figures(pipeline, parts, skipped)


def evaluate_subsets_of_run(
    folder: Path,
    data: Path | None = None,
    splits: Sequence[str] = (),
    cache: Which = "known",
    say: Say = silent,
) -> tuple[dict[Subset, dict[str, float]], dict[str, str]]:
    """The same for a run, see `evaluate_run`; and by head why it is judged with all streams alone, if it is."""
    pipeline = Pipeline.load(folder)
    parts = parts_of_run(folder, pipeline.config, data, splits)
    with through_caches(pipeline, parts, cache, say):
        figures = _figures(pipeline, parts, None)
    reasons = {name: needs_all(pipeline.config, name) for name in pipeline.config.heads}
    return figures, {name: reason for name, reason in reasons.items() if reason is not None}


def subsets_of(streams: Sequence[str]) -> list[Subset]:
    """All subsets but the empty one, small ones first, the whole last.

    Raises:
        ConfigError: there are too many.
    """
    if len(streams) > MOST_STREAMS:
        raise ConfigError(
            f"{len(streams)} streams have {2 ** len(streams) - 1:,} subsets: those of at most {MOST_STREAMS} streams "
            "are judged. Leave single streams out of the data instead"
        )
    return [frozenset(each) for size in range(len(streams)) for each in combinations(streams, size + 1)]


def needs_all(config: PipelineConfig, head: str) -> str | None:
    """Why a head cannot be judged without one of the streams, if so: what joins them needs every one."""
    own = config.heads[head]
    joined = [config.fusion] if any(read.partition(".")[0] == FUSED for read in own.reads) else []
    for rule in (*joined, own.decision):
        if rule is not None and rule.absence == "unsupported":
            return f"'{rule.type_name()}' needs every stream, so that head '{head}' is judged with all of them alone"
    return None


def outputs_of_subsets(
    pipeline: Pipeline, batch: Batch, heads: Mapping[Subset, Sequence[str]], encodings: Encodings
) -> Iterator[tuple[Subset, dict[str, HeadOutput]]]:
    """What the heads of each subset say of a batch with these streams alone, on the processor.

    batch: on the pipeline's device. encodings: of this batch, filled where they are not yet. In `inference` only.
    """
    for subset, names in heads.items():
        rows = {name: own if name in subset else torch.full_like(own, -1) for name, own in batch.rows.items()}
        outputs = pipeline(batch._replace(rows=rows), names, encodings=encodings)
        yield subset, {name: on_cpu(output) for name, output in outputs.items()}


def _figures(
    pipeline: Pipeline, parts: Sequence[Part], skipped: list[DecodeError] | None
) -> dict[Subset, dict[str, float]]:
    subsets = subsets_of(list(pipeline.config.streams))
    found: dict[Subset, dict[str, float]] = {subset: {} for subset in subsets}
    for part in parts:
        require_rows(part)
        limited = [name for name in part.heads if needs_all(pipeline.config, name) is not None]
        heads = {each: [name for name in part.heads if name not in limited] for each in subsets[:-1]}
        measured = _measured(pipeline, part, heads | {subsets[-1]: part.heads}, skipped)
        if not measured[subsets[-1]]:
            raise nothing_to_measure(pipeline, part)
        for subset, figures in measured.items():
            found[subset] |= {f"{part.split}/{name}": figure for name, figure in figures.items()}
    return found


def _measured(
    pipeline: Pipeline, part: Part, heads: Mapping[Subset, Sequence[str]], skipped: list[DecodeError] | None
) -> dict[Subset, dict[str, float]]:
    """`head/metric` -> figure of one split, by subset, of the heads that each is to be judged by."""
    metrics = {subset: fresh_metrics(pipeline, names) for subset, names in heads.items()}
    for own in metrics.values():
        for each in own.values():
            each[ROWS] = Rows()
    for _, batch in collated(pipeline, batches(part.rows, BATCH_SIZE), part.heads, skipped):
        there, encodings = to_device(batch, pipeline.device), Encodings(pipeline.encoders)
        with inference(pipeline):
            for subset, outputs in outputs_of_subsets(pipeline, there, heads, encodings):
                take(metrics[subset], outputs, batch)
    return {subset: _told(computed(own)) for subset, own in metrics.items()}


def _told(figures: Mapping[str, float]) -> dict[str, float]:
    """Without the number of rows of heads that have no other figure."""
    heads = {name.partition("/")[0] for name in figures if not name.endswith(f"/{ROWS}")}
    return {name: figure for name, figure in figures.items() if name.partition("/")[0] in heads}
