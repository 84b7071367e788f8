"""What each stream is worth to a head: exact Shapley values over all subsets of the streams."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmsdk.cache.reading import Which
from mmsdk.data.samples import Row, Sample
from mmsdk.data.sampling import batches
from mmsdk.errors import ConfigError, DataError, DecodeError, listed
from mmsdk.evaluation.answers import Answers, filled, prior_scores
from mmsdk.evaluation.attention import Look, looks, reads_fusion, stream_weights
from mmsdk.evaluation.measuring import BATCH_SIZE, collated, nothing_to_measure, opened, require_rows, through_caches
from mmsdk.evaluation.run_data import Part, in_memory, known_head, parts_of_run, training_samples
from mmsdk.evaluation.shapley import interactions, shapley
from mmsdk.evaluation.subsets import Subset, needs_all, outputs_of_subsets, subsets_of
from mmsdk.pipeline.pipeline import Pipeline, target_of
from mmsdk.pipeline.prediction import inference, to_device
from mmsdk.pipeline.reading import Encodings, Reading

NOTHING: Subset = frozenset()
KEPT: Which = "files"
"""Decoded files alone: an encoding does not tell which words it is of."""


class SampleWorth(NamedTuple):
    """What each stream did to the answer of one sample.

    label: the true one where `known`, else the one that is predicted; several labels; or None where a number is
    predicted. value: the probability of that label (the mean, of several), or that number; prior: the same without any
    stream. shapley: by stream; together they are value - prior. attention: by stream, the share of each of its tokens
    in the fused vector, where the fusion attends; together they are 1. pieces: by stream, what these tokens are, where
    they are pieces of a text.
    """

    id: str
    label: Any
    known: bool
    prior: float
    value: float
    shapley: Mapping[str, float]
    attention: Mapping[str, Sequence[float]] = {}
    pieces: Mapping[str, Sequence[str]] = {}


class Worth(NamedTuple):
    """What each stream is worth to a head on a split.

    metric: the head's main one. figures: of each subset of the streams, the empty one first, over the same `rows`.
    shapley: by stream; together they are the figure of all streams less that of none. interactions: by two streams.
    weights: by stream, the mean share that the fusion gave it, or its tokens, where it tells. samples: one by one;
    none where a head predicts several numbers.
    """

    split: str
    head: str
    metric: str
    larger_is_better: bool
    rows: int
    figures: Mapping[Subset, float]
    shapley: Mapping[str, float]
    interactions: Mapping[Subset, float]
    weights: Mapping[str, float] | None
    samples: Sequence[SampleWorth]


def explain(
    pipeline: Pipeline | str | Path,
    rows: Sequence[Sample | Row],
    train: Sequence[Sample | Row],
    *,
    head: str | None = None,
    skipped: list[DecodeError] | None = None,
) -> Worth:
    """What each stream is worth to a head, in its main metric over these rows, and in each of them.

    train: training rows, of which only the head's target is read. head: by default the only one that can be explained.
    skipped: where samples go that cannot be read; without it they are raised.

    Raises:
        ConfigError: no such head, several, one that cannot be explained, or more than ten streams.
        DataError: no rows, or none with a target; a sample that cannot be read.
    """
    pipeline = opened(pipeline)
    if head is None:
        able = explainable(pipeline)
        if len(able) != 1:
            raise ConfigError(f"Name the head to explain. Those that can be: {listed(able)}.")
        head = able[0]
    config = pipeline.config
    part = Part("rows", in_memory(config, "rows", rows), [known_head(config, head)])
    with through_caches(pipeline, [part], KEPT):
        return _worth(pipeline, part, head, in_memory(config, "train", train), skipped)


def explain_run(
    folder: Path, data: Path | None = None, splits: Sequence[str] = (), head: str | None = None
) -> list[Worth]:
    """The same for a run, by split (see `evaluate_run`) and head; by default for every head that can be explained.

    Raises:
        ConfigError, DataError, CheckpointError: see `explain`, `parts_of_run` and `training_samples`.
    """
    pipeline = Pipeline.load(folder)
    wanted = [known_head(pipeline.config, head)] if head is not None else explainable(pipeline)
    if not wanted:
        heads = list(pipeline.config.heads)
        raise ConfigError(f"No head can be explained: {' '.join(str(unexplained(pipeline, name)) for name in heads)}")
    parts = [(part, name) for part in parts_of_run(folder, pipeline.config, data, splits) for name in wanted]
    train = {name: training_samples(folder, name, data) for name in wanted}
    with through_caches(pipeline, [part for part, _ in parts], KEPT):
        found = [_worth(pipeline, part, name, train[name], None) for part, name in parts if name in part.heads]
    if not found:
        raise DataError(f"{folder}: every split was trained on: name one all the same, with --split")
    return found


def explainable(pipeline: Pipeline) -> list[str]:
    """The heads that `explain` takes."""
    own = [name for name in pipeline.config.heads if name not in pipeline.config.auxiliaries]
    return [name for name in own if unexplained(pipeline, name) is None]


def unexplained(pipeline: Pipeline, head: str) -> str | None:
    """Why a head cannot be explained, if so."""
    config = pipeline.config.heads[head]
    if config.target_column() is None:
        return f"Head '{head}' ({config.type_name()}) has no target, so there is nothing that a stream is worth for it."
    if not config.scoring:
        return (
            f"Head '{head}' ({config.type_name()}) gives no scores of one answer per sample, so nothing stands for a "
            "sample without streams: heads such as 'classification', 'multilabel' and 'regression' can be explained."
        )
    reason = needs_all(pipeline.config, head)
    return f"{reason}: no single stream's worth can be told." if reason is not None else None


def _worth(pipeline: Pipeline, part: Part, head: str, train: Sequence[Row], skipped: list[DecodeError] | None) -> Worth:
    reason = unexplained(pipeline, head)
    if reason is not None:
        raise ConfigError(reason)
    require_rows(part)
    subsets = subsets_of(list(pipeline.config.streams))
    judge, prior = pipeline.heads[head], prior_scores(pipeline, head, train)
    name = next(iter(judge.metrics()))
    metrics = {subset: judge.metrics()[name] for subset in (NOTHING, *subsets)}
    game: dict[Subset, list[NDArray[np.float64]]] = {subset: [] for subset in metrics}
    told: list[tuple[str, Any, bool, Look]] = []
    weights: list[Tensor] = []
    rows = 0
    for _, batch in collated(pipeline, batches(part.rows, BATCH_SIZE), [head], skipped):
        there, encodings = to_device(batch, pipeline.device), Encodings(pipeline.encoders)
        with inference(pipeline):
            found = outputs_of_subsets(pipeline, there, {each: [head] for each in subsets}, encodings)
            outputs = {subset: own[head] for subset, own in found}
            reading = Reading(encodings, pipeline.fusion, there.rows) if reads_fusion(pipeline, head) else None
            weights += stream_weights(reading, there)
            seen = looks(reading, pipeline, there)
        target, whole = target_of(batch, head), outputs[subsets[-1]]
        assert target is not None and whole.present is not None
        rows += int((whole.present & target["present"]).sum())
        outputs = {each: filled(output, prior, whole) for each, output in {NOTHING: None, **outputs}.items()}
        answers = Answers(pipeline, head, whole, target)
        places = whole.present.nonzero()[:, 0].tolist()
        told += [(batch.ids[place], answers.labels[place], answers.known[place], seen[place]) for place in places]
        for subset, output in outputs.items():
            metrics[subset].update(output, target)
            game[subset].append(answers.values(output)[places])
    figures = {subset: metric.compute() for subset, metric in metrics.items()}
    if not rows:
        raise nothing_to_measure(pipeline, part)
    for subset, figure in figures.items():
        if not math.isfinite(figure):
            what = f"with {listed(sorted(subset))} alone" if subset else "without any stream"
            raise DataError(f"Split '{part.split}': metric '{name}' of head '{head}' has no figure {what}")
    return Worth(
        part.split,
        head,
        name,
        metrics[NOTHING].larger_is_better,
        rows,
        figures,
        {stream: float(value) for stream, value in shapley(figures).items()},
        {pair: float(value) for pair, value in interactions(figures).items()},
        _mean_weights(pipeline, weights),
        _samples(told, {subset: np.concatenate(values) for subset, values in game.items()}),
    )


def _samples(
    told: Sequence[tuple[str, Any, bool, Look]], game: Mapping[Subset, NDArray[np.float64]]
) -> list[SampleWorth]:
    prior, *_, value = game.values()
    if value.ndim > 1:
        return []
    shares = shapley(game)
    return [
        SampleWorth(
            id, label, known, float(prior[n]), float(value[n]), {k: float(own[n]) for k, own in shares.items()}, *look
        )
        for n, (id, label, known, look) in enumerate(told)
    ]


def _mean_weights(pipeline: Pipeline, weights: Sequence[Tensor]) -> dict[str, float] | None:
    """Each stream's share, the mean over the samples that have any."""
    if not weights:
        return None
    whole = torch.cat(list(weights)).double()
    sums = whole.sum(dim=1, keepdim=True)
    shares = (whole / sums)[sums[:, 0] > 0].mean(dim=0)
    return dict(zip(pipeline.config.streams, shares.tolist(), strict=True))
