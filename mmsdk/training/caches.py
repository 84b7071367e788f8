"""What a stage need not compute in each epoch: encodings of what is frozen, and what files hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mmsdk.cache.features import cachable
from mmsdk.cache.ports import Say, Share, decoded_ports, decoded_targets, encoded_ports, look_again
from mmsdk.data.samples import Row
from mmsdk.training.job import Job
from mmsdk.training.plan import StagePlan
from mmsdk.training.shards import in_shares


def read_caches(job: Job, plan: StagePlan, say: Say, wait: Callable[[], None]) -> None:
    """Have the pipeline read its samples through the caches, and fill these before.

    All splits are encoded and decoded, as all of them are measured in the end. What is streamed is not: its rows may
    never come again. wait: a barrier over all processes.
    """

    def rows() -> Iterator[Row]:
        return plan.rows

    pipeline, training = job.pipeline, job.config.training
    share = Share(job.rank, job.processes, training.workers)
    pipeline.read_directly()
    known = {}
    if training.feature_cache != "off":
        wanted = cachable(pipeline, plan.weights)
        if plan.streamed is not None:
            wanted = dict.fromkeys(wanted, "its rows are streamed, and may never come again")
        elif in_shares(pipeline):  # no process could encode by itself
            wanted = dict.fromkeys(wanted, "each process holds a share of it (training.sharding)")
        known = encoded_ports(pipeline, wanted, rows, training.feature_cache, share, say)
    targets = {}
    if training.decoded_cache and plan.streamed is None:
        known |= decoded_ports(pipeline, [port for port in pipeline.ports if port.name not in known], rows, share, say)
        targets = decoded_targets(pipeline, plan.weights, rows, share, say)
    wait()
    look_again([*known.values(), *targets.values()])
    pipeline.ports = [known.get(port.name, port) for port in pipeline.ports]
    pipeline.target_ports = [targets.get(port.name, port) for port in pipeline.target_ports]
