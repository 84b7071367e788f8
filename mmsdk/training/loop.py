"""Training, from a config to a saved pipeline: a job, its stages one after the other, and the figures in the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmsdk.config.file import load_config
from mmsdk.config.pipeline import PipelineConfig
from mmsdk.data.samples import InMemory
from mmsdk.folders import writing
from mmsdk.pipeline.about import About
from mmsdk.pipeline.pipeline import Pipeline, alone
from mmsdk.training import figures
from mmsdk.training.accelerating import Processes
from mmsdk.training.blocks import activation_checkpointing
from mmsdk.training.context import Context
from mmsdk.training.curve import draw_curve
from mmsdk.training.gradient_caching import Parts, gradient_caching
from mmsdk.training.holding import holding
from mmsdk.training.interruption import Interruption
from mmsdk.training.job import Job
from mmsdk.training.opening import open_job
from mmsdk.training.processes import gather, together
from mmsdk.training.progress import Progress
from mmsdk.training.run import Run, latest_folder, new_folder
from mmsdk.training.stage import Stage


class Trained(NamedTuple):
    """What `train` gives: the run's folder, `split/head/metric` -> figure, time spent, and the pipeline."""

    run: Path
    metrics: dict[str, float]
    seconds: float
    samples_per_second: float
    pipeline: Pipeline


def train(
    config: str | Path | Mapping[str, Any] | PipelineConfig,
    data: InMemory | None = None,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    overrides: Sequence[str] = (),
    show: bool = True,
) -> Trained:
    """Train a pipeline, stage by stage, and save it.

    config: a YAML file, a mapping, or a config. data: Python rows instead of the config's `data:`, as a list or a list
    per split. out: the run's folder, by default runs/<name of the config>. resume: go on with the run that is there,
    exactly as if it had never stopped. overrides: `a.b.c=value`. show: progress on stderr.

    Raises:
        MmsdkError: with a message for the user; the run's folder keeps its last checkpoint.
        Interrupted: SIGINT (Ctrl-C), SIGTERM or SIGUSR1 came, and a checkpoint is saved. A second signal ends at once.
    """
    checked = load_config(config, overrides)
    processes = Processes(checked.training)
    stem = Path(config).stem if isinstance(config, str | Path) else "pipeline"
    folder = Path(out) if out is not None else (latest_folder if resume else new_folder)(stem)
    run = Run(processes.tell(folder))
    if run.finished and resume:
        return _finished(run, checked)
    with together(run.folder, processes.rank, processes.count, processes.gather):
        job = open_job(
            checked, data, run, resume=resume, rank=processes.rank, processes=processes.count, wait=processes.wait
        )
        context = _context(job, processes, Progress(show and processes.main))
        processes.track(run.folder, stem)
        return _ended(context, _trained(context))


def _trained(context: Context) -> dict[str, float]:
    """Train what is left of the stages; `split/head/metric` in the end."""
    job = context.job
    stages = [Stage(context, plan) for plan in job.stages]  # a mistake in the last is told before the first is trained
    if job.checkpoint is None:
        context.held.begin(job.checkpoints, {name for stage in stages for name in stage.trained})
    with (
        activation_checkpointing(job.pipeline, job.config.training.activation_checkpointing),
        gradient_caching(job.pipeline, context.parts),
        context.progress,
        context.interruption,
    ):
        for stage in stages[job.position.stage :]:
            stage.run()
        return figures.final_metrics(context)


def _context(job: Job, processes: Processes, progress: Progress) -> Context:
    """Bring processes, pipeline and position together."""
    training, pipeline, position = job.config.training, job.pipeline, job.position
    if processes.distributed:
        pipeline.gather, pipeline.rank = gather, job.rank
    if processes.scaler is not None and position.scaler:
        processes.scaler.load_state_dict(position.scaler)
    sizes = [size for size in (position.micro_batch, training.micro_batch) if size is not None]
    return Context(
        job,
        processes,
        holding(pipeline, processes.accelerator, training.sharding),
        Parts(min(sizes, default=None)),
        progress,
        Interruption(job.run.folder, progress.say),
    )


def _ended(context: Context, metrics: dict[str, float]) -> Trained:
    """Save the pipeline, and what there is to know of the run."""
    job, processes, run, position = context.job, context.processes, context.job.run, context.job.position
    job.pipeline.gather, job.pipeline.rank = alone, 0
    job.pipeline.read_directly()
    rate = position.samples / position.seconds if position.seconds else 0.0
    whole = context.held.whole()
    if processes.main:
        assert whole is not None
        whole.about = About(metrics=metrics, rows=job.rows(), data=run.facts()["data"])
        whole.save(run.pipeline)
        with writing(run.folder / "curve.png"):
            draw_curve(run.entries(), run.folder / "curve.png")
        run.finish(metrics, {"seconds": position.seconds, "samples_per_second": rate})
    processes.wait()  # whoever returns from here may open what was saved
    processes.end()
    whole = whole if whole is not None else Pipeline.load(run.folder)
    return Trained(run.folder, metrics, position.seconds, rate, whole.eval())


def _finished(run: Run, config: PipelineConfig) -> Trained:
    run.require_same(config)
    result = run.result()
    pipeline = Pipeline.load(run.folder)
    return Trained(run.folder, result["metrics"], result["seconds"], result["samples_per_second"], pipeline)
