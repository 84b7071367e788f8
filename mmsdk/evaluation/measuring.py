"""Metrics of a pipeline on a split."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from mmsdk.cache.ports import Say, silent
from mmsdk.cache.reading import Caches, Which
from mmsdk.containers import Batch, HeadOutput
from mmsdk.data.collate import Collator
from mmsdk.data.samples import Row, Sample
from mmsdk.data.sampling import FILLER, batches, share
from mmsdk.data.windows import by_length
from mmsdk.errors import DataError, DecodeError, listed
from mmsdk.evaluation.run_data import Part, parts_in_memory, parts_of_run
from mmsdk.interfaces import Metric
from mmsdk.pipeline.pipeline import Pipeline, target_of
from mmsdk.pipeline.prediction import Precision, inference, outputs_of

Metrics = dict[str, dict[str, Metric]]
BATCH_SIZE = 256
WINDOW = 4
"""Batches whose rows are sorted together."""


def measure(
    pipeline: Pipeline,
    rows: Sequence[Row],
    heads: Sequence[str],
    *,
    batch_size: int = BATCH_SIZE,
    rank: int = 0,
    processes: int = 1,
    skipped: list[DecodeError] | None = None,
) -> Metrics:
    """The metrics of each head over this process's share of the rows, not yet computed.

    A sample that cannot be read is put on the list `skipped`, or raised where there is none.
    """
    names = [name for name in heads if name in pipeline.config.heads]
    metrics, collator = fresh_metrics(pipeline, names), _collator(pipeline, names)
    shares = (share(whole, rank, processes)[0] for whole in _alike(collator, rows, batch_size))
    parts = ([rows[place] if place != FILLER else None for place in own] for own in shares)
    for _, batch in _collated(collator, parts, skipped):
        with inference(pipeline):
            take(metrics, outputs_of(pipeline, batch, names), batch)
    return metrics


def collated(
    pipeline: Pipeline,
    parts: Iterable[Sequence[Row | None]],
    heads: Sequence[str],
    skipped: list[DecodeError] | None,
) -> Iterator[tuple[list[Row | None], Batch]]:
    """Rows and their batch, with the heads' targets; None stands for a row that takes no part in it.

    A sample that cannot be read is put on the list `skipped`, or raised where there is none.
    """
    return _collated(_collator(pipeline, heads), parts, skipped)


def _collator(pipeline: Pipeline, heads: Sequence[str]) -> Collator:
    return Collator(pipeline.ports, [port for port in pipeline.target_ports if port.name in heads])


def _alike(collator: Collator, rows: Sequence[Row], batch_size: int) -> Iterator[list[int]]:
    """Batches of places, the same in all processes: of rows whose texts are about as long, so that little is padded."""
    for window in batches(range(len(rows)), WINDOW * batch_size):
        order = by_length(collator, [rows[place] for place in window], batch_size)
        yield from batches([window[place] for place in order], batch_size)


def _collated(
    collator: Collator, parts: Iterable[Sequence[Row | None]], skipped: list[DecodeError] | None
) -> Iterator[tuple[list[Row | None], Batch]]:
    for rows in parts:
        batch, bad = collator(rows)
        for error in bad.values():
            if skipped is None:
                raise error
            skipped.append(error)
        yield [None if place in bad else row for place, row in enumerate(rows)], batch


def fresh_metrics(pipeline: Pipeline, heads: Sequence[str]) -> Metrics:
    return {name: dict(pipeline.heads[name].metrics()) for name in heads}


def take(metrics: Metrics, outputs: Mapping[str, HeadOutput], batch: Batch) -> None:
    """Let the metrics of each head see one batch."""
    for name, output in outputs.items():
        target = target_of(batch, name)
        for metric in metrics[name].values():
            metric.update(output, target)


def computed(metrics: Metrics) -> dict[str, float]:
    """`head/metric` -> figure; what no row could tell (NaN) is left out."""
    figures = {f"{head}/{name}": each.compute() for head, own in metrics.items() for name, each in own.items()}
    return {name: figure for name, figure in figures.items() if not math.isnan(figure)}


def evaluate(
    pipeline: Pipeline | str | Path,
    data: Mapping[str, Sequence[Sample | Row]],
    *,
    heads: Sequence[str] | None = None,
    skipped: list[DecodeError] | None = None,
    cache: Which = "known",
) -> dict[str, float]:
    """The metrics of every split given as lists of rows, keys `split/head/metric`.

    cache: "known" reads encodings of encoders that were frozen in training, and decoded files; "all" those of every
    encoder; "off" nothing: see `docs/feature_cache.md`.

    Raises:
        ConfigError: there is no such head.
        DataError: a split without rows, rows that cannot be grouped, or a sample that cannot be read.
    """
    pipeline = opened(pipeline)
    parts = parts_in_memory(pipeline.config, data, heads)
    with through_caches(pipeline, parts, cache):
        return _figures(pipeline, parts, skipped)


def evaluate_run(
    folder: Path,
    data: Path | None = None,
    splits: Sequence[str] = (),
    cache: Which = "known",
    say: Say = silent,
    precision: Precision = "float32",
) -> dict[str, float]:
    """The metrics of a run's pipeline on its own data (every split that was not trained on), or on another file.

    Another file is divided by its column "split" where `splits` are named; otherwise it is one split.

    Raises:
        DataError: a split that is not there, or has no rows.
        CheckpointError: the folder holds no finished run.
    """
    pipeline = Pipeline.load(folder, precision=precision)
    parts = parts_of_run(folder, pipeline.config, data, splits)
    with through_caches(pipeline, parts, cache, say):
        return _figures(pipeline, parts)


@contextmanager
def through_caches(pipeline: Pipeline, parts: Sequence[Part], cache: Which, say: Say = silent) -> Iterator[None]:
    """Has the pipeline read these samples through the caches as long as this lasts."""
    caches = Caches(pipeline, {head for part in parts for head in part.heads}, cache, files=True)
    with caches(lambda: chain.from_iterable(part.rows for part in parts), say):
        for line in caches.told():
            say(line)
        yield


def opened(pipeline: Pipeline | str | Path) -> Pipeline:
    return pipeline if isinstance(pipeline, Pipeline) else Pipeline.load(pipeline)


def _figures(pipeline: Pipeline, parts: Sequence[Part], skipped: list[DecodeError] | None = None) -> dict[str, float]:
    """`split/head/metric` -> figure, of samples."""
    found: dict[str, float] = {}
    for part in parts:
        require_rows(part)
        figures = computed(measure(pipeline, part.rows, part.heads, skipped=skipped))
        if not figures:
            raise nothing_to_measure(pipeline, part)
        found |= {f"{part.split}/{name}": figure for name, figure in figures.items()}
    return found


def require_rows(part: Part) -> None:
    if not part.rows:
        raise DataError(f"Split '{part.split}' has no rows")


def nothing_to_measure(pipeline: Pipeline, part: Part) -> DataError:
    """What to say where no metric has a figure."""
    columns = [str(port.column) for port in pipeline.modalities.target_ports if port.name in part.heads]
    return DataError(f"Split '{part.split}' has nothing to measure by: no row has a value in {listed(columns)}")
