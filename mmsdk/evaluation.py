"""Metrics of a pipeline on a split."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmsdk.collate import Collator
from mmsdk.config import DataConfig, PipelineConfig
from mmsdk.errors import DataError, DecodeError, listed
from mmsdk.grouping import grouped, load_samples
from mmsdk.interfaces import Metric
from mmsdk.pipeline import Pipeline, target_of
from mmsdk.prediction import inference, outputs_of
from mmsdk.run import Run
from mmsdk.samples import Row, Sample, as_row, read_rows
from mmsdk.sampling import FILLER, batches, share

Metrics = dict[str, dict[str, Metric]]


def measure(
    pipeline: Pipeline,
    rows: Sequence[Row],
    heads: Sequence[str],
    *,
    batch_size: int = 256,
    rank: int = 0,
    processes: int = 1,
    skipped: list[DecodeError] | None = None,
) -> Metrics:
    """The metrics of each head over this process's share of the rows, not yet computed.

    A sample that cannot be read is put on the list `skipped`, or raised where there is none.
    """
    names = [name for name in heads if name in pipeline.config.heads]
    ports = [port for port in pipeline.modalities.target_ports if port.name in names]
    collator = Collator(pipeline.modalities.stream_ports, ports)
    metrics: Metrics = {name: dict(pipeline.heads[name].metrics()) for name in names}
    for whole in batches(range(len(rows)), batch_size):
        places = share(whole, rank, processes)[0]
        collated = collator([rows[place] if place != FILLER else None for place in places])
        for error in collated.bad.values():
            if skipped is None:
                raise error
            skipped.append(error)
        with inference(pipeline):
            for name, output in outputs_of(pipeline, collated.batch, names).items():
                target = target_of(collated.batch, name)
                for metric in metrics[name].values():
                    metric.update(output, target)
    return metrics


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
) -> dict[str, float]:
    """The metrics of every split given as lists of rows, keys `split/head/metric`.

    Raises:
        DataError: a split without rows, rows that cannot be grouped, or a sample that cannot be read.
    """
    pipeline = pipeline if isinstance(pipeline, Pipeline) else Pipeline.load(pipeline)
    splits = {
        split: [each if isinstance(each, Row) else as_row(each, f"{split}[{n}]") for n, each in enumerate(rows)]
        for split, rows in data.items()
    }
    by = pipeline.config.group_by
    return _figures(pipeline, {split: grouped(rows, by) for split, rows in splits.items()}, heads, skipped)


def _figures(
    pipeline: Pipeline,
    splits: Mapping[str, Sequence[Row]],
    heads: Sequence[str] | None = None,
    skipped: list[DecodeError] | None = None,
) -> dict[str, float]:
    """`split/head/metric` -> figure, of samples."""
    found: dict[str, float] = {}
    for split, rows in splits.items():
        if not rows:
            raise DataError(f"Split '{split}' has no rows")
        figures = computed(measure(pipeline, rows, heads or list(pipeline.config.heads), skipped=skipped))
        if not figures:
            columns = [str(port.column) for port in pipeline.modalities.target_ports]
            raise DataError(f"Split '{split}' has nothing to measure by: no row has a value in {listed(columns)}")
        found |= {f"{split}/{name}": figure for name, figure in figures.items()}
    return found


def evaluate_run(folder: Path, data: Path | None = None, splits: Sequence[str] = ()) -> dict[str, float]:
    """The metrics of a run's pipeline on its own data (every split that was not trained on), or on another file.

    Another file is divided by its column "split" where `splits` are named; otherwise it is one split.

    Raises:
        DataError: a split that is not there, or has no rows.
        CheckpointError: the folder holds no finished run.
    """
    pipeline = Pipeline.load(folder)
    if data is not None and not splits:
        return evaluate(pipeline, {data.stem: list(read_rows(data))})
    if not (folder / "config.json").is_file():
        raise DataError(f"{folder}: a saved pipeline without its run has no data of its own: give --data FILE")
    config = PipelineConfig.model_validate(Run(folder).facts()["config"])
    found: dict[str, float] = {}
    known: dict[str, None] = {}
    for stage in config.steps():
        source = stage.data or config.data
        if data is not None:
            column = (source.split_column if source is not None else None) or "split"
            source = DataConfig(path=data, split_column=column)
        if source is None:
            raise DataError(f"{folder}: this run was trained on data from Python: give a file with --data FILE")
        tables = load_samples(source, config.group_by)
        known |= dict.fromkeys(tables)
        wanted = splits or [name for name in tables if name != source.train_split]
        chosen = {name: rows for name, rows in tables.items() if name in wanted}
        found |= _figures(pipeline, chosen, list(stage.heads or config.heads))
    for name in splits:
        if name not in known:
            raise DataError(f"There is no split '{name}'. There is: {listed(known)}.")
    return found
