"""Whether a graph says what the pipeline says that it was made of: on real rows, in several batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch

from mmsdk.containers import Batch
from mmsdk.data.collate import Collator
from mmsdk.data.samples import Row
from mmsdk.errors import DataError, ExportError, told
from mmsdk.export.graph import flat_inputs, flat_outputs
from mmsdk.export.runtime import Runner
from mmsdk.pipeline.pipeline import Pipeline
from mmsdk.pipeline.prediction import inference

TOLERANCE = 1e-5
"""The largest difference that is let pass, of numbers up to 1; of larger ones, as a share of the largest."""
ROWS = 32


def readable(pipeline: Pipeline, rows: Sequence[Row]) -> list[Row]:
    """The first rows that can be read.

    Raises:
        DataError: there is none.
    """
    first = list(rows[: 2 * ROWS])
    bad = Collator(pipeline.modalities.stream_ports, [])(first).bad
    found = [row for place, row in enumerate(first) if place not in bad][:ROWS]
    if not found:
        raise DataError("There are no rows to check an export with: give a file of them with --data FILE")
    return found


def batch_of(pipeline: Pipeline, rows: Sequence[Row]) -> Batch:
    return Collator(pipeline.modalities.stream_ports, [])(rows).batch


def checked(pipeline: Pipeline, heads: Sequence[str], run: Runner, rows: Sequence[Row]) -> tuple[int, float]:
    """How many batches were compared, and the largest difference found.

    Raises:
        ExportError: the graph fails on a batch, or says something else than the pipeline; tells what and where.
    """
    count, worst = 0, 0.0
    for name, batch in _batches(pipeline, rows):
        with inference(pipeline):
            expected = flat_outputs(pipeline(batch, heads))
        try:
            found = run(flat_inputs(batch))
        except Exception as error:
            raise ExportError(f"The exported graph fails on {name}: {told(error).splitlines()[0]}") from error
        for output, right in expected.items():
            worst = max(worst, _difference(output, right, found, name))
        count += 1
    return count, worst


def _batches(pipeline: Pipeline, rows: Sequence[Row]) -> Iterator[tuple[str, Batch]]:
    """Of several sizes, of short and of long values, and with streams absent in some rows, in all, and together."""
    for size in sorted({1, 2, 7, len(rows)}):
        yield f"a batch of {size}", batch_of(pipeline, rows[:size])
    for row in (rows[len(rows) // 2], rows[-1]):  # alone, a value has no padding
        yield f"row '{row.id}' alone", batch_of(pipeline, [row])
    whole = batch_of(pipeline, rows)
    for name, index in whole.rows.items():
        yield f"a batch without '{name}'", _with_rows(whole, name, torch.full_like(index, -1))
        every = torch.arange(len(index)) % 3 == 0
        yield f"a batch with '{name}' in a third of the rows", _with_rows(whole, name, index.where(every, -1))
    gone = {name: torch.full_like(index, -1) for name, index in whole.rows.items()}
    yield "a batch without any stream", whole._replace(rows=gone)


def _with_rows(batch: Batch, stream: str, index: torch.Tensor) -> Batch:
    return batch._replace(rows={**batch.rows, stream: index})


def _difference(output: str, right: torch.Tensor, flat: Mapping[str, torch.Tensor], where: str) -> float:
    found = flat.get(output)
    if found is None or found.shape != right.shape:
        shape = "nothing" if found is None else f"the shape {list(found.shape)}"
        raise ExportError(f"The exported graph differs from the pipeline: on {where} '{output}' has {shape}")
    if right.dtype is torch.bool:
        apart = float((found != right).any())
    else:
        same = (found == right) | (found.isnan() & right.isnan())  # infinities, too
        apart = float((found - right).abs().masked_fill(same, 0).max()) if right.numel() else 0.0
        finite = right[right.isfinite()].abs()
        apart /= max(1.0, float(finite.max()) if finite.numel() else 1.0)
    if not apart <= TOLERANCE:
        raise ExportError(
            f"The exported graph differs from the pipeline by {apart:.1e} on {where}, in '{output}'; at most "
            f"{TOLERANCE:.0e} is let pass. Nothing was written: use the run itself"
        )
    return apart
