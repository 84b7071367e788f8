"""How long the rows of a stage are, for batches of a number of tokens."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import numpy as np

from mmsdk.data.collate import identity
from mmsdk.data.lengths import LengthBatches
from mmsdk.errors import DecodeError
from mmsdk.pipeline.modalities import Port
from mmsdk.training.job import Job
from mmsdk.training.plan import StagePlan
from mmsdk.training.progress import Progress


def measure_lengths(job: Job, plan: StagePlan, progress: Progress, gather: Callable[[list[Any]], list[Any]]) -> None:
    """Where `training.batch_tokens` asks for it: read each value of the training rows once, and plan the batches.

    Each process reads its share. gather: the lists of all processes, one after the other. It is not kept: a run that
    goes on measures again, and finds the same.
    """
    if plan.tokens is None:
        return
    own = range(job.rank, len(plan.train), job.processes)
    known: dict[Hashable, int] = {}
    found = [(place, [_length(plan, place, port, known) for port in job.pipeline.ports]) for place in own]
    lengths = np.zeros((len(plan.train), len(job.pipeline.ports)), np.int64)
    for place, row in gather(found):
        lengths[place] = row
    plan.by_length = LengthBatches(lengths, plan.tokens)
    if job.position.step == 0:
        told = (
            f"{len(plan.by_length)} batches of {plan.tokens:,} tokens at most, {plan.by_length.share:.0%} not padding"
        )
        progress.say(f"{plan.config.name}: {told}")


def _length(plan: StagePlan, place: int, port: Port, known: dict[Hashable, int]) -> int:
    """0 for what a row has not, and for what cannot be read: that is told when its batch is made."""
    row = plan.train[place]
    value = port.raw(row)
    if value is None:
        return 0
    key = (port.name, identity(value))
    if key not in known:
        try:
            known[key] = port.modality.length(port.prepare(row, value))
        except DecodeError:
            known[key] = 0
    return known[key]
