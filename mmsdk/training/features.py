"""Frozen encoders encode each value once: before a stage, unless the cache has it already."""

from __future__ import annotations

from collections.abc import Callable

from mmsdk.features.cache import FeatureCache, cachable
from mmsdk.features.encoded import Encoded
from mmsdk.pipeline.modalities import Port
from mmsdk.training.job import Job, StagePlan
from mmsdk.training.progress import Progress


def read_features(job: Job, plan: StagePlan, progress: Progress, wait: Callable[[], None]) -> None:
    """Have the pipeline read the encodings of what is frozen, and encode what is not known yet.

    All splits are encoded, as all of them are measured in the end. wait: a barrier over all processes.
    """
    pipeline, precision = job.pipeline, job.config.training.feature_cache
    pipeline.ports = pipeline.modalities.stream_ports
    wanted = cachable(pipeline, plan.weights) if precision != "off" else {}
    if plan.streamed is not None:
        wanted = dict.fromkeys(wanted, "its rows are streamed, and may never come again")
    known: dict[str, Port] = {}
    for stream, reason in wanted.items():
        if reason is None:
            cache = FeatureCache(precision)
            port = cache.port(pipeline, stream)
            try:
                found, made = cache.fill(pipeline, port, plan.rows, job.rank, job.processes)
                known[stream], outcome = port, f"{found} values from {cache.root}, {made} encoded once"
            except TypeError as error:
                outcome = f"not cached: {error}"
        else:
            outcome = f"not cached: {reason}"
        if job.position.step == 0:
            progress.say(f"{plan.config.name}: stream '{stream}' is frozen, {outcome}")
    wait()
    for port in known.values():
        assert isinstance(port.modality, Encoded)
        port.modality.store.look()  # what the other processes have encoded
    pipeline.ports = [known.get(port.name, port) for port in pipeline.ports]
