"""What a pipeline is measured by while it is trained, over all processes, and what decision rules learn from it."""

from __future__ import annotations

from collections.abc import Sequence

from mmsdk.cache.ports import silent
from mmsdk.data.samples import Row
from mmsdk.errors import DecodeError, listed
from mmsdk.evaluation.measuring import computed, measure
from mmsdk.training.caches import read_caches
from mmsdk.training.context import Context
from mmsdk.training.held_out import learn, listen, take
from mmsdk.training.learners import learners
from mmsdk.training.plan import StagePlan


def measured(context: Context, rows: Sequence[Row], heads: Sequence[str]) -> dict[str, float]:
    """`head/metric` -> figure on rows; nothing without rows."""
    if not rows:
        return {}
    job, skipped = context.job, list[DecodeError]()
    own = measure(job.pipeline, rows, heads, rank=job.rank, processes=job.processes, skipped=skipped)
    job.bad.take(skipped)
    everyone = context.processes.gather([own])
    for other in everyone[1:]:
        for head, metrics in other.items():
            for name, metric in metrics.items():
                everyone[0][head][name].merge(metric)
    return computed(everyone[0])


def final_metrics(context: Context) -> dict[str, float]:
    """`split/head/metric` on every split that was not trained on, each head on the data of its own stages."""
    found: dict[str, float] = {}
    for plan in context.job.stages:
        read_caches(context.job, plan, silent, context.processes.wait)  # it was told before the stage
        for split, rows in plan.splits.items():
            if split != plan.train_split:
                figures = measured(context, rows, list(plan.weights))
                found |= {f"{split}/{name}": figure for name, figure in figures.items()}
    return found


def teach_rules(context: Context, plan: StagePlan) -> None:
    """Let decision rules learn from the valid split, with the weights that the stage ends with.

    One process learns from what all have heard, and tells the others.
    """
    job, processes = context.job, context.processes
    heads = learners(job.config, plan.weights)
    if not heads:
        return
    skipped: list[DecodeError] = []
    own = listen(job.pipeline, plan.valid, heads, rank=job.rank, processes=job.processes, skipped=skipped)
    job.bad.take(skipped)
    everyone = processes.gather([own])
    take(job.pipeline, processes.tell(learn(job.pipeline, everyone) if processes.main else None))
    context.progress.say(
        f"{plan.config.name}: the decision rules of {listed(heads)} have learned from '{plan.valid_split}'"
    )
