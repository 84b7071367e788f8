"""How a pipeline does when one of its streams goes bad: by each corruption that the stream's modality knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from mmsdk.cache.ports import Say, silent
from mmsdk.cache.reading import Which
from mmsdk.containers import Batch
from mmsdk.data.collate import Collator, randomness
from mmsdk.data.samples import Row, Sample
from mmsdk.data.sampling import batches
from mmsdk.errors import ConfigError, DecodeError
from mmsdk.evaluation.measuring import (
    BATCH_SIZE,
    Metrics,
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
from mmsdk.interfaces import Corruption
from mmsdk.pipeline.modalities import Port
from mmsdk.pipeline.pipeline import Pipeline
from mmsdk.pipeline.prediction import inference, on_cpu, to_device
from mmsdk.pipeline.reading import Encodings


class Damage(NamedTuple):
    """What was done to every value of a stream: a corruption of its modality, at a severity in that one's unit."""

    stream: str
    corruption: str
    severity: float
    unit: str

    def __str__(self) -> str:
        return f"{self.stream}: {self.corruption} {self.severity:g} {self.unit}"


def evaluate_corruptions(
    pipeline: Pipeline | str | Path,
    data: Mapping[str, Sequence[Sample | Row]],
    *,
    heads: Sequence[str] | None = None,
    skipped: list[DecodeError] | None = None,
    cache: Which = "known",
) -> dict[Damage | None, dict[str, float]]:
    """The figures of `evaluate` as the data is (None), and under each damage to one stream.

    What is random depends on the value, or on the sample's id, and on the corruption alone: it is the same each time,
    and the same for all severities. Samples without that stream count as they are.

    Raises:
        ConfigError: there is no such head, or no modality knows any corruption. DataError: as in `evaluate`.
    """
    pipeline = opened(pipeline)
    parts = parts_in_memory(pipeline.config, data, heads)
    with through_caches(pipeline, parts, cache):
        return _figures(pipeline, parts, skipped)


def evaluate_corruptions_of_run(
    folder: Path,
    data: Path | None = None,
    splits: Sequence[str] = (),
    cache: Which = "known",
    say: Say = silent,
) -> dict[Damage | None, dict[str, float]]:
    """The same for a run, see `evaluate_run`."""
    pipeline = Pipeline.load(folder)
    parts = parts_of_run(folder, pipeline.config, data, splits)
    with through_caches(pipeline, parts, cache, say):
        return _figures(pipeline, parts, None)


def damages(pipeline: Pipeline) -> dict[Damage, tuple[Port, Corruption]]:
    """All that can be done to the pipeline's streams.

    Raises:
        ConfigError: nothing can.
    """
    found = {
        Damage(port.name, name, severity, corruption.unit): (port, corruption)
        for port in pipeline.modalities.stream_ports
        for name, corruption in port.modality.corruptions.items()
        for severity in corruption.severities
    }
    if not found:
        names = ", ".join(f"'{port.name}'" for port in pipeline.modalities.stream_ports)
        raise ConfigError(f"No modality of the streams {names} has any `corruptions` to measure with")
    return found


def _figures(
    pipeline: Pipeline, parts: Sequence[Part], skipped: list[DecodeError] | None
) -> dict[Damage | None, dict[str, float]]:
    known = damages(pipeline)
    found: dict[Damage | None, dict[str, float]] = {None: {}, **{damage: {} for damage in known}}
    for part in parts:
        require_rows(part)
        for damage, metrics in _measured(pipeline, part, known, skipped).items():
            figures = computed(metrics)
            if not figures:
                raise nothing_to_measure(pipeline, part)
            found[damage] |= {f"{part.split}/{name}": figure for name, figure in figures.items()}
    return found


def _measured(
    pipeline: Pipeline,
    part: Part,
    known: Mapping[Damage, tuple[Port, Corruption]],
    skipped: list[DecodeError] | None,
) -> dict[Damage | None, Metrics]:
    """The metrics of one split. Streams that are as they were are not encoded again."""
    found = {damage: fresh_metrics(pipeline, part.heads) for damage in (None, *known)}
    collators = {port.name: Collator([port], []) for port, _ in known.values()}
    for rows, batch in collated(pipeline, batches(part.rows, BATCH_SIZE), part.heads, skipped):
        there, encodings = to_device(batch, pipeline.device), Encodings(pipeline.encoders)
        with inference(pipeline):
            for damage, variant in _variants(rows, there, known, collators):
                # What is clean is encoded first, and kept; what is damaged, only while it is judged.
                own = encodings if damage is None else encodings.copy()
                outputs = pipeline(variant, part.heads, encodings=own)
                take(found[damage], {name: on_cpu(output) for name, output in outputs.items()}, batch)
    return found


def _variants(
    rows: Sequence[Row | None],
    batch: Batch,
    known: Mapping[Damage, tuple[Port, Corruption]],
    collators: Mapping[str, Collator],
) -> Iterator[tuple[Damage | None, Batch]]:
    """The batch as it is, then with each damage."""
    yield None, batch
    for damage, (_, corruption) in known.items():
        yield damage, damaged(batch, rows, collators[damage.stream], damage, corruption)


def damaged(
    batch: Batch, rows: Sequence[Row | None], collator: Collator, damage: Damage, corruption: Corruption
) -> Batch:
    """The batch of these rows with a damage to one stream, on the device of the batch. collator: of that stream."""
    device = batch.rows[damage.stream].device
    own = to_device(collator(rows, change=partial(_damaged, damage, corruption)).batch, device)
    return batch._replace(streams={**batch.streams, **own.streams}, rows={**batch.rows, **own.rows})


def _damaged(damage: Damage, corruption: Corruption, port: Port, row: Row, item: Any) -> Any:
    return corruption.apply(item, damage.severity, randomness(port, row, damage.corruption))
