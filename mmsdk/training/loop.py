"""Training: one loop, top to bottom, around Accelerate. With `processes`, the only place that knows of several."""

from __future__ import annotations

import atexit
import math
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
from accelerate.utils import DistributedType, broadcast_object_list, gather_object
from torch import Tensor
from torch.distributed import is_initialized

from mmsdk.cache.ports import silent
from mmsdk.config.file import load_config
from mmsdk.config.pipeline import PipelineConfig, TrainingConfig
from mmsdk.containers import Batch, HeadOutput
from mmsdk.data.samples import InMemory, Row
from mmsdk.data.sampling import step_seed
from mmsdk.errors import ConfigError, DecodeError, TrainingError, UnwritableError, listed
from mmsdk.evaluation.measuring import computed, measure
from mmsdk.folders import writing
from mmsdk.pipeline.about import About
from mmsdk.pipeline.pipeline import FUSION_LOSSES, Pipeline, alone
from mmsdk.pipeline.prediction import to_device
from mmsdk.training import optimization
from mmsdk.training.balance import Balance, balance_of
from mmsdk.training.blocks import activation_checkpointing
from mmsdk.training.caches import read_caches
from mmsdk.training.curve import draw_curve
from mmsdk.training.gradient_caching import Parts, gradient_caching
from mmsdk.training.held_out import learn, listen, take
from mmsdk.training.holding import Copies, holding
from mmsdk.training.interruption import Interruption
from mmsdk.training.job import Job, StagePlan, open_job
from mmsdk.training.journal import Journal
from mmsdk.training.learners import learners
from mmsdk.training.lengths import measure_lengths
from mmsdk.training.memory import Memory
from mmsdk.training.modality_dropout import without_streams
from mmsdk.training.not_finite import NotFinite
from mmsdk.training.processes import gather, together
from mmsdk.training.progress import Progress
from mmsdk.training.run import Run, latest_folder, new_folder
from mmsdk.training.selection import Selection
from mmsdk.training.sketches import write_sketches

PRECISIONS = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}


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
    accelerator = _accelerator(checked.training)
    stem = Path(config).stem if isinstance(config, str | Path) else "pipeline"
    folder = Path(out) if out is not None else (latest_folder if resume else new_folder)(stem)
    run = Run(broadcast_object_list([folder])[0])
    if run.finished and resume:
        return _finished(run, checked)
    job = open_job(
        checked,
        data,
        run,
        resume=resume,
        rank=accelerator.process_index,
        processes=accelerator.num_processes,
        wait=accelerator.wait_for_everyone,
    )
    pipeline, position = job.pipeline, job.position
    if accelerator.distributed_type != DistributedType.NO:
        pipeline.gather, pipeline.rank = gather, job.rank
    selections = [Selection(pipeline, plan, checked.training) for plan in job.stages]
    # A mistake in the last stage is told before the first one is trained.
    trained = {name for plan in job.stages for name in optimization.trained(pipeline, plan.config, plan.weights)}
    held = holding(pipeline, accelerator, checked.training.sharding)
    if job.checkpoint is None:
        held.begin(job.checkpoints, trained)
    balances = [balance_of(job, plan, accelerator.reduce) for plan in job.stages]
    if accelerator.scaler is not None and position.scaler:
        accelerator.scaler.load_state_dict(position.scaler)
    if checked.training.trackers:
        accelerator.project_configuration.set_directories(str(run.folder))
        accelerator.init_trackers(stem)
    sizes = [size for size in (position.micro_batch, checked.training.micro_batch) if size is not None]
    at_a_time = Parts(min(sizes, default=None))
    again = activation_checkpointing(pipeline, checked.training.activation_checkpointing)
    with (
        again,
        gradient_caching(pipeline, at_a_time),
        Progress(show and accelerator.is_main_process) as progress,
        together(run.folder, job.rank, job.processes, gather_object),
        Interruption(run.folder, progress.say) as interruption,
    ):
        for number in range(position.stage, len(job.stages)):
            plan, selection, balance = job.stages[number], selections[number], balances[number]
            memory = Memory(at_a_time, job, progress)
            _train_stage(job, plan, selection, balance, held, interruption, memory, accelerator, progress)
        metrics = _final_metrics(job, accelerator)
    pipeline.gather, pipeline.rank = alone, 0
    pipeline.read_directly()
    rate = position.samples / position.seconds if position.seconds else 0.0
    whole = held.whole()
    if accelerator.is_main_process:
        assert whole is not None
        whole.about = About(metrics=metrics, rows=job.rows(), data=run.facts()["data"])
        whole.save(run.pipeline)
        with writing(run.folder / "curve.png"):
            draw_curve(run.entries(), run.folder / "curve.png")
        run.finish(metrics, {"seconds": position.seconds, "samples_per_second": rate})
    accelerator.wait_for_everyone()  # whoever returns from here may open what was saved
    for tracker in accelerator.trackers:
        tracker.finish()
    atexit.register(accelerator.state.destroy_process_group)  # not now: it cannot be joined again to train once more
    whole = whole if whole is not None else Pipeline.load(run.folder)
    return Trained(run.folder, metrics, position.seconds, rate, whole.eval())


def _train_stage(
    job: Job,
    plan: StagePlan,
    selection: Selection,
    balance: Balance,
    held: Copies,
    interruption: Interruption,
    memory: Memory,
    accelerator: Accelerator,
    progress: Progress,
) -> None:
    """Train one stage, from where the job stands to its end."""
    training, position, pipeline = job.config.training, job.position, job.pipeline
    heads = list(plan.weights)
    optimization.freeze(pipeline, plan.config, heads)
    model, optimizer = held.prepare(optimization.optimizer(pipeline, plan.config, training))
    read_caches(job, plan, partial(_say_first, job, plan, progress), accelerator.wait_for_everyone)
    measure_lengths(job, plan, progress, gather_object)
    steps = plan.steps_per_epoch * plan.epochs
    if job.checkpoint is not None and position.step > 0:
        held.resume(job.checkpoints, optimizer, job.checkpoint)
    trained = [parameter for parameter in pipeline.parameters() if parameter.requires_grad]
    generator = torch.Generator(accelerator.device)
    # On a processor, torch.manual_seed would spend 0.2 ms on devices that are never used.
    reseed = torch.default_generator.manual_seed if accelerator.device.type == "cpu" else torch.manual_seed
    progress.stage(plan.config.name, plan.absent, position.step, steps)
    if position.total:
        progress.say(f"{plan.config.name}: from step {position.step} of {steps}")
    if plan.streamed is not None:
        progress.say(f"{plan.config.name}: {plan.streamed.told(plan.batch_size, position.step)}")
    balance.begin()
    journal = Journal(job, accelerator, plan)
    guard = NotFinite(job, held, optimizer, gather_object, lambda: _save(job, held, optimizer, accelerator, progress))
    guard.begin()

    for step, rows, parts in interruption.held(job.batches(plan, position.step)):
        guard.before()
        seed = step_seed(training.seed, position.total, job.rank)
        optimization.set_rates(optimizer, optimization.schedule(step, steps, training))
        dropped = {name: ramp.at(step / max(1, steps - 1)) for name, ramp in training.modality_dropout.items()}
        for attempt in memory.attempts(lambda: _undo(optimizer, journal, balance)):
            with attempt:
                reseed(seed)
                generator.manual_seed(seed)
                for number, (batch, bad) in enumerate(parts):
                    job.bad.take(bad.values())
                    luck = [training.seed, position.total, number]
                    batch = to_device(batch, accelerator.device)
                    batch = without_streams(batch, dropped, luck, job.rank, job.processes)
                    with held.adding_up(model, last=number + 1 == len(parts)):
                        outputs, sums = _backward(model, batch, heads, generator, balance, accelerator, len(parts))
                    journal.add(list(outputs), sums)
                    balance.see(outputs, batch)
        for parameter in trained:  # what no head read has a gradient, too: in several processes it must have one
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        balance.modulate(optimizer)
        norm = held.number(accelerator.clip_grad_norm_(trained, math.inf if training.clip is None else training.clip))
        lost = journal.not_finite()
        undone = None
        if lost or not (math.isfinite(norm) or accelerator.scaler):  # float16 meets infinities, and skips the step
            undone = guard.met(lost, norm, [name for part in parts for name in part.batch.ids])
            if accelerator.scaler is not None:
                accelerator.scaler.update()
        else:
            optimizer.step()
            guard.taken()
        optimizer.zero_grad()

        position.step, position.total = step + 1, position.total + 1
        if undone is None:
            journal.step(rows, norm, optimizer, progress)
        else:
            journal.undone(undone, progress)
        ends_epoch = position.step % plan.steps_per_epoch == 0
        ends_stage = position.step == steps
        if ends_epoch:
            figures = _measured(job, plan.valid, heads, accelerator)
            epoch = position.step // plan.steps_per_epoch
            journal.epoch(epoch, figures, progress, balance.epoch(epoch))
            ends_stage |= selection.take(figures, position)
            if accelerator.is_main_process or held.alike:
                write_sketches(job, plan, epoch)
            held.settle()
        stopping = interruption.agreed(accelerator.reduce, job.processes, accelerator.device)
        every = training.checkpoint.every
        if ends_epoch or stopping or (every is not None and position.total % every == 0):
            if ends_stage:
                progress.say(f"{plan.config.name}: {selection.verdict(position, plan, steps)}")
                _end_stage(job, selection)
                _teach_rules(job, plan, accelerator, progress)
                held.settle()
                accelerator.wait_for_everyone()  # saving removes the weights that all of them have just gone back to
            guard.saving()
            saved = _save(job, held, None if ends_stage else optimizer, accelerator, progress)
            if not saved:
                selection.forget(position)
            if stopping:
                raise interruption.end(position.total, saved)
        journal.resume()
        if ends_stage:
            break
    accelerator.unwrap_model(model, keep_fp32_wrapper=False)
    accelerator.free_memory()


def _say_first(job: Job, plan: StagePlan, progress: Progress, line: str) -> None:
    """Where a stage begins; not where it goes on."""
    if job.position.step == 0:
        progress.say(f"{plan.config.name}: {line}")


def total(
    outputs: Mapping[str, HeadOutput],
    weights: Mapping[str, float],
    reduce: Callable[..., Tensor],
    processes: int,
) -> tuple[Tensor, Tensor]:
    """The loss to go backwards from, and per output the sum and the count over all processes, [2, outputs].

    What a fusion brings by itself counts as it is: its strengths are settings of its own.
    Each head's sum is divided by the count of all processes. DistributedDataParallel averages gradients over
    processes, hence the factor: any number of processes computes what one would.
    """
    losses, counts = [], []
    for name, output in outputs.items():
        if output.loss is None or output.count is None:
            raise TrainingError(f"Head '{name}' gives no loss to train with")
        losses.append(output.loss)
        counts.append(output.count.to(output.loss.dtype))
    stacked = torch.stack(losses)
    known = {FUSION_LOSSES: 1.0, **weights}
    scale = torch.tensor([known[name] for name in outputs], device=stacked.device)
    sums = reduce(torch.stack([stacked.detach(), torch.stack(counts)]), "sum")
    return (scale * stacked / sums[1].clamp(min=1)).sum() * processes, sums


def _backward(
    model: torch.nn.Module,
    batch: Batch,
    heads: Sequence[str],
    generator: torch.Generator,
    balance: Balance,
    accelerator: Accelerator,
    parts: int,
) -> tuple[dict[str, HeadOutput], Tensor]:
    """Forward and backward of a part of a batch. By itself, so that where it fails nothing keeps its tensors."""
    outputs = model(batch, heads, generator)
    loss, sums = total(outputs, balance.weights, accelerator.reduce, accelerator.num_processes)
    accelerator.backward(loss / parts)
    return outputs, sums


def _undo(optimizer: torch.optim.Optimizer, journal: Journal, balance: Balance) -> None:
    """What a step has left before it was taken, for it to be done again."""
    optimizer.zero_grad()
    journal.forget()
    balance.forget()


def _end_stage(job: Job, selection: Selection) -> None:
    """Go back to the best weights where that is wanted, and stand before the next stage."""
    position = job.position
    best = selection.wants(position)
    if best is not None:
        job.checkpoints.load_weights(job.pipeline, job.checkpoints.path(best))
    position.stage, position.step = position.stage + 1, 0
    position.best, position.best_total, position.waited, position.balance = None, None, 0, {}


def _teach_rules(job: Job, plan: StagePlan, accelerator: Accelerator, progress: Progress) -> None:
    """Let decision rules learn from the valid split, with the weights that the stage ends with.

    One process learns from what all have heard, and tells the others.
    """
    heads = learners(job.config, plan.weights)
    if not heads:
        return
    skipped: list[DecodeError] = []
    own = listen(job.pipeline, plan.valid, heads, rank=job.rank, processes=job.processes, skipped=skipped)
    job.bad.take(skipped)
    everyone = gather_object([own]) if job.processes > 1 else [own]
    states = [learn(job.pipeline, everyone) if accelerator.is_main_process else None]
    (state,) = broadcast_object_list(states)
    assert state is not None
    take(job.pipeline, state)
    progress.say(f"{plan.config.name}: the decision rules of {listed(heads)} have learned from '{plan.valid_split}'")


def _save(
    job: Job, held: Copies, optimizer: torch.optim.Optimizer | None, accelerator: Accelerator, progress: Progress
) -> bool:
    """Save a checkpoint. Where the disk does not let us, the ones before it are intact, and training goes on."""
    saved = [True]
    if accelerator.is_main_process:
        job.position.log_bytes = job.run.log_bytes()
        job.position.scaler = accelerator.scaler.state_dict() if accelerator.scaler is not None else {}
    try:
        held.save(job.checkpoints, optimizer, job.position)
    except UnwritableError as error:
        saved = [False]
        progress.say(f"warning: {error} This one goes on, without that checkpoint; the ones before are intact.")
    accelerator.wait_for_everyone()
    return bool(broadcast_object_list(saved)[0])


def _measured(job: Job, rows: Sequence[Row], heads: Sequence[str], accelerator: Accelerator) -> dict[str, float]:
    """`head/metric` -> figure on rows, over all processes; nothing without rows."""
    if not rows:
        return {}
    skipped: list[DecodeError] = []
    own = measure(job.pipeline, rows, heads, rank=job.rank, processes=job.processes, skipped=skipped)
    job.bad.take(skipped)
    everyone = gather_object([own]) if job.processes > 1 else [own]
    for other in everyone[1:]:
        for head, metrics in other.items():
            for name, metric in metrics.items():
                everyone[0][head][name].merge(metric)
    return computed(everyone[0])


def _final_metrics(job: Job, accelerator: Accelerator) -> dict[str, float]:
    """`split/head/metric` on every split that was not trained on, each head on the data of its own stages."""
    found: dict[str, float] = {}
    for plan in job.stages:
        read_caches(job, plan, silent, accelerator.wait_for_everyone)  # it was told before the stage
        for split, rows in plan.splits.items():
            if split != plan.train_split:
                figures = _measured(job, rows, list(plan.weights), accelerator)
                found |= {f"{split}/{name}": figure for name, figure in figures.items()}
    return found


def _accelerator(training: TrainingConfig) -> Accelerator:
    """A fresh one: a process that trains twice may use another precision or device the second time."""
    installed = [str(each) for each in get_available_trackers()]
    for name in training.trackers:
        if name not in installed:
            known = name in {str(each) for each in LOGGER_TYPE_TO_CLASS}
            hint = f": pip install {name}" if known else f". Accelerate knows: {listed(LOGGER_TYPE_TO_CLASS)}"
            raise ConfigError(f"training.trackers: '{name}' is not {'installed' if known else 'a tracker'}{hint}")
    cpu = training.device == "cpu" or not torch.accelerator.is_available()
    if cpu and training.precision == "float16":
        raise ConfigError("training.precision: float16 needs a GPU. Choose bfloat16 or float32.")
    AcceleratorState._reset_state(reset_partial_state=not is_initialized())
    accelerator = Accelerator(
        cpu=cpu,
        mixed_precision=PRECISIONS[training.precision],
        log_with=training.trackers or None,
    )
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started != accelerator.num_processes:  # they would all write into one folder
        raise TrainingError(
            f"{started} processes were started, but {accelerator.num_processes} work together: use "
            f"torchrun --nproc-per-node {started} -m mmsdk train ..."
        )
    return accelerator


def _finished(run: Run, config: PipelineConfig) -> Trained:
    run.require_same(config)
    result = run.result()
    pipeline = Pipeline.load(run.folder)
    return Trained(run.folder, result["metrics"], result["seconds"], result["samples_per_second"], pipeline)
