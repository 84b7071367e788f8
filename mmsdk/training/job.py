"""What a training works on: the run, its stages, the pipeline, where it stands, and the batches from there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from mmsdk.config.pipeline import PipelineConfig
from mmsdk.data.collate import Collated, Collator, identity
from mmsdk.data.samples import Row
from mmsdk.data.sampling import FILLER, share
from mmsdk.pipeline.pipeline import Pipeline
from mmsdk.training.checkpoint import Checkpoints, Position
from mmsdk.training.plan import StagePlan
from mmsdk.training.run import BadSamples, Run


@dataclass
class Job:
    """Everything that the loop works with."""

    config: PipelineConfig
    run: Run
    stages: list[StagePlan]
    pipeline: Pipeline
    checkpoints: Checkpoints
    position: Position
    checkpoint: Path | None
    bad: BadSamples
    rank: int
    processes: int

    def rows(self) -> dict[str, int]:
        """How many samples each split has; where stages have data of their own, `stage/split`."""
        counts = {plan.config.name: {split: len(rows) for split, rows in plan.splits.items()} for plan in self.stages}
        first, *others = counts.values()
        if all(other == first for other in others):
            return first
        return {f"{stage}/{split}": rows for stage, own in counts.items() for split, rows in own.items()}

    def batches(self, plan: StagePlan, start: int) -> Iterator[tuple[int, int, list[Collated]]]:
        """(step, rows over all processes, parts) from step `start` of a stage to its end.

        A part is one forward pass of this process.
        """
        training = self.config.training
        heads = [port for port in self.pipeline.target_ports if port.name in plan.weights]
        collator = Collator(self.pipeline.ports, heads, seed=training.seed)
        groups = _groups(self.pipeline, plan.train, training.group)
        for epoch in range(start // plan.steps_per_epoch, plan.epochs):
            first = epoch * plan.steps_per_epoch
            skip = max(0, start - first)
            parts: Iterable[Sequence[Any]]
            if plan.streamed is not None:
                whole = [plan.batch_size] * (plan.steps_per_epoch - skip)
                counts = [min(training.accumulation, plan.batch_size)] * len(whole)
                order, who = (training.seed, plan.number, epoch), (self.rank, self.processes, training.accumulation)
                parts = chain.from_iterable(plan.streamed.epoch(order, plan.batch_size, *who, skip=skip))
            else:
                planned = plan.batches(training.seed, epoch, groups)[skip:]
                shares = [share(one, self.rank, self.processes, training.accumulation) for one in planned]
                whole, counts = [len(one) for one in planned], [len(own) for own in shares]
                parts = [part for own in shares for part in own]
            collated = _loaded(_Batches(collator, plan.train, epoch), parts, training.workers)
            for step, (rows, count) in enumerate(zip(whole, counts, strict=True), start=first + skip):
                yield step, rows, [next(collated) for _ in range(count)]


def _groups(pipeline: Pipeline, rows: Sequence[Row], stream: str | None) -> list[Any] | None:
    if stream is None:
        return None
    port = next(port for port in pipeline.modalities.stream_ports if port.name == stream)
    values = [port.raw(row) for row in rows]
    return [None if value is None else identity(value) for value in values]


class _Batches(torch.utils.data.Dataset[Collated]):
    """Collates parts of batches, in worker processes too: the places of rows, or rows that have been read already."""

    def __init__(self, collator: Collator, rows: Sequence[Row], epoch: int) -> None:
        self.collator, self.rows, self.epoch = collator, rows, epoch

    def __getitem__(self, part: Sequence[int | Row | None]) -> Collated:
        return self.collator([self._row(each) for each in part], self.epoch)

    def _row(self, each: int | Row | None) -> Row | None:
        if isinstance(each, int):
            return None if each == FILLER else self.rows[each]
        return each


def _loaded(batches_: _Batches, parts: Iterable[Sequence[Any]], workers: int) -> Iterator[Collated]:
    if workers == 0:
        return map(batches_.__getitem__, parts)
    return iter(torch.utils.data.DataLoader(batches_, batch_size=None, sampler=parts, num_workers=workers))
