"""Beginning a run, or going on with one: data, fitted modalities, the pipeline, and where it stands."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from itertools import chain
from typing import Any

import torch

from mmsdk.config.pipeline import PipelineConfig
from mmsdk.data.limits import filled
from mmsdk.data.samples import InMemory, digest
from mmsdk.errors import ConfigError
from mmsdk.folders import load_tree, save_tree, verify_folder, write_folder
from mmsdk.pipeline.modalities import Modalities, Port
from mmsdk.pipeline.pipeline import Pipeline
from mmsdk.training.checkpoint import Checkpoints, Position
from mmsdk.training.job import Job
from mmsdk.training.learners import require_held_out
from mmsdk.training.plan import StagePlan, plan_stages, require_targets
from mmsdk.training.run import BadSamples, Run
from mmsdk.training.threads import choose_threads
from mmsdk.training.warm_start import WarmStart


def open_job(
    config: PipelineConfig,
    data: InMemory | None,
    run: Run,
    *,
    resume: bool,
    rank: int,
    processes: int,
    wait: Any,
) -> Job:
    """Read the data, fit or restore the modalities, build the pipeline, and find where the run stands.

    wait: a barrier over all processes; the first process writes, the others read what it wrote.

    Raises:
        ConfigError, DataError, CheckpointError: see the parts.
    """
    if run.started and not resume:
        raise ConfigError(f"{run.folder} holds a run already: add --resume to go on with it, or choose another --out")
    wait()  # all have looked at the folder before the first one changes it
    if rank == 0:
        run.sweep()
    wait()
    started = run.started
    resolved = run.resolved(config) if started else config.resolve()
    warm_start = WarmStart(resolved) if resolved.init_from is not None and not started else None
    modalities = Modalities(resolved)
    stages = plan_stages(config, data, modalities)
    require_held_out(config, stages, modalities)
    fingerprint = _fingerprint(stages)
    if started:
        facts = run.require_same(config, fingerprint)
        choose_threads(config.training.threads or facts["threads"])
        if facts["processes"] != processes and rank == 0:
            _say(
                f"{run.folder}: began with {facts['processes']} processes, goes on with {processes}: "
                "the order of samples stays, dropout differs"
            )
    elif rank == 0:
        threads = choose_threads(config.training.threads)
        facts = {"resolved": resolved.model_dump(mode="json"), "data": fingerprint}
        run.begin(config, facts | {"processes": processes, "threads": threads})
        train = {id(plan.splits): plan for plan in stages}.values()  # stages may share data
        known = warm_start.restore(modalities) if warm_start is not None else ()
        modalities.fit(lambda: chain.from_iterable(plan.fitted_on() for plan in train), known)
        if config.training.on_error == "raise":
            require_targets(stages, modalities)
        write_folder(run.modalities, lambda aside: save_tree(modalities.state(), aside / "modalities"))
    wait()
    if rank != 0 and not started:
        choose_threads(run.facts()["threads"])
    verify_folder(run.modalities)
    modalities.restore(load_tree(run.modalities / "modalities"))
    if rank == 0 and not started:
        for cut in filled((row for plan in stages for row in plan.fitted_on()), _ports(modalities)):
            _say(str(cut))
    torch.manual_seed(config.training.seed)
    pipeline = Pipeline(run.resolved(resolved), modalities)
    checkpoints = Checkpoints(run.checkpoints, config.training.checkpoint.keep)
    newest = checkpoints.newest(lambda error: _say(f"{error}; passed over") if rank == 0 else None)
    position = Position()
    if newest is not None:
        checkpoints.load(pipeline, newest)
        position = checkpoints.position(newest)
    else:
        pipeline.initialize()
        if warm_start is not None:
            warm_start.fill(pipeline)
    if rank == 0:
        run.rewind(position.log_bytes)
    bad = BadSamples(run, config.training.on_error, sum(plan.rows_per_epoch for plan in stages))
    return Job(config, run, stages, pipeline, checkpoints, position, newest, bad, rank, processes)


def _fingerprint(stages: Sequence[StagePlan]) -> str:
    """What tells the data of a run from other data."""
    whole = digest({f"{plan.number} {name}": rows for plan in stages for name, rows in plan.splits.items()})
    streamed = [plan.streamed.fingerprint for plan in stages if plan.streamed is not None]
    return hashlib.sha256(" ".join([whole, *streamed]).encode()).hexdigest() if streamed else whole


def _ports(modalities: Modalities) -> list[Port]:
    return [*modalities.stream_ports, *modalities.target_ports]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
