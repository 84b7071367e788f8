"""Embeddings of samples: what a contrastive head compares, one sample after the other or all at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from mmsdk.data.collate import Collator
from mmsdk.data.samples import Row, Sample, as_row
from mmsdk.data.windows import BATCH_SIZE, in_windows
from mmsdk.errors import ConfigError, DecodeError, listed
from mmsdk.pipeline.prediction import inference, outputs_of

if TYPE_CHECKING:
    from mmsdk.pipeline.pipeline import Pipeline


class Embedded(NamedTuple):
    """The embeddings of one sample.

    vectors: by source, [width] float32 of length 1; a source that is absent in the sample is left out.
    values: the sample's own. A path that a stream reads from a file's row can be opened from anywhere.
    """

    id: str
    vectors: Mapping[str, Tensor]
    values: Sample


def embed(
    pipeline: Pipeline, samples: Iterable[Sample | Row], *, head: str | None = None, batch_size: int = BATCH_SIZE
) -> dict[str, Tensor]:
    """[samples, width] of each source that the head reads; zeros where it is absent.

    Raises:
        ConfigError: no such head, or several. DecodeError, DataError: a sample cannot be read.
    """
    found = [vectors for _, vectors in _embedded(pipeline, samples, embedding_head(pipeline, head), batch_size, None)]
    return {source: torch.stack([each[source] for each in found]) for source in (found[0] if found else ())}


def embed_each(
    pipeline: Pipeline,
    samples: Iterable[Sample | Row],
    *,
    head: str | None = None,
    batch_size: int = BATCH_SIZE,
    skipped: list[DecodeError] | None = None,
) -> Iterator[Embedded]:
    """The samples one after the other, in order, in constant memory.

    A sample that cannot be read is put on the list `skipped`, or raised where there is none.

    Raises:
        ConfigError: no such head, or several. DecodeError, DataError: a sample cannot be read.
    """
    for row, vectors in _embedded(pipeline, samples, embedding_head(pipeline, head), batch_size, skipped):
        there = {source: vector for source, vector in vectors.items() if vector.any()}
        yield Embedded(row.id, there, _findable(pipeline, row))


def embedding_head(pipeline: Pipeline, head: str | None = None) -> str:
    """The head that gives embeddings: the named one, or the only one."""
    able = [name for name in pipeline.config.heads if pipeline.heads[name].embeds]
    if head is None and len(able) == 1:
        return able[0]
    if head not in able:
        if not able and head is None:
            raise ConfigError(
                "No head of this pipeline gives embeddings: train one of `type: contrastive`, or take "
                "Pipeline.predict, or mmsdk predict."
            )
        which = "Name one" if head is None else f"There is no head '{head}' that gives any"
        raise ConfigError(f"{which}: heads with embeddings are {listed(able)}; `type: contrastive` is one.")
    return head


def _embedded(
    pipeline: Pipeline,
    samples: Iterable[Sample | Row],
    head: str,
    batch_size: int,
    skipped: list[DecodeError] | None,
) -> Iterator[tuple[Row, Mapping[str, Tensor]]]:
    """Each row that can be read, and [width] of each source."""
    collator = Collator(pipeline.ports, [])
    rows = (row if isinstance(row, Row) else as_row(row, f"sample[{number}]") for number, row in enumerate(samples))

    def made(batch: list[Row]) -> list[tuple[Row, DecodeError | None, dict[str, Tensor]]]:
        collated = collator(batch)
        with inference(pipeline):
            found = outputs_of(pipeline, collated.batch, [head])[head].embeddings
        vectors = [dict(zip(found, own, strict=True)) for own in zip(*found.values(), strict=True)]
        return [(row, collated.bad.get(place), vectors[place]) for place, row in enumerate(batch)]

    for row, error, vectors in in_windows(collator, rows, batch_size, lambda row: row, made):
        if error is None:
            yield row, vectors
        elif skipped is None:
            raise error
        else:
            skipped.append(error)


def _findable(pipeline: Pipeline, row: Row) -> dict[str, Any]:
    """The row's values, with the paths that streams read joined to the folder that they are relative to."""
    paths = {
        column: str(path)
        for port in (pipeline.modalities.stream_ports if row.folder is not None else ())
        for column in port.columns
        if isinstance(path := port.raw(row, column), Path)
    }
    return {**row.values, **paths}
