"""What a training run needs before its first step: data, fitted modalities, the pipeline, and where it stands."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from mmsdk.config.pipeline import DataConfig, PipelineConfig, StageConfig
from mmsdk.data.collate import Collated, Collator, identity
from mmsdk.data.grouping import grouped_splits, load_samples
from mmsdk.data.lengths import LengthBatches
from mmsdk.data.limits import filled
from mmsdk.data.samples import InMemory, Row, digest
from mmsdk.data.sampling import FILLER, batches, share, shuffled
from mmsdk.data.splits import splits_in_memory
from mmsdk.data.streaming import Streamed, open_stream
from mmsdk.data.tables import chosen
from mmsdk.errors import ConfigError, DataError, listed
from mmsdk.folders import load_tree, save_tree, verify_folder, write_folder
from mmsdk.pipeline.modalities import Modalities, Port
from mmsdk.pipeline.pipeline import Pipeline
from mmsdk.training.checkpoint import Checkpoints, Position
from mmsdk.training.learners import require_held_out
from mmsdk.training.run import BadSamples, Run
from mmsdk.training.threads import choose_threads
from mmsdk.training.warm_start import WarmStart


@dataclass
class StagePlan:
    """One stage with its data and heads; what the config leaves open is filled in."""

    number: int
    config: StageConfig
    splits: dict[str, Sequence[Row]]
    data: DataConfig | None
    weights: dict[str, float]
    epochs: int
    batch_size: int
    tokens: int | None = None
    absent: int = 0
    """Training rows without any stream; they are left out."""
    train: Sequence[Row] = ()
    by_length: LengthBatches | None = None
    """Batches of `tokens`, once the lengths have been measured."""
    streamed: Streamed | None = None
    """The training rows, where they come one after the other; `train` is empty then."""

    @property
    def train_split(self) -> str:
        return self.data.train_split if self.data is not None else "train"

    @property
    def valid_split(self) -> str:
        return self.data.valid_split if self.data is not None else "valid"

    @property
    def valid(self) -> Sequence[Row]:
        return self.splits.get(self.valid_split, [])

    @property
    def rows(self) -> Iterator[Row]:
        """All rows of all splits."""
        return chain.from_iterable(self.splits.values())

    def fitted_on(self) -> Iterable[Row]:
        """The training rows that modalities learn from: all, or the beginning of a stream."""
        if self.streamed is not None:
            return self.streamed.beginning(self.streamed.config.fit_rows)
        return self.train

    @property
    def steps_per_epoch(self) -> int:
        if self.streamed is not None:
            return self.streamed.config.steps_per_epoch
        return len(self.by_length) if self.by_length is not None else -(-len(self.train) // self.batch_size)

    @property
    def rows_per_step(self) -> int:
        """How many rows a batch has; about, where batches go by tokens."""
        if self.by_length is not None:
            return len(self.train) // len(self.by_length)
        return self.batch_size if self.streamed is not None else min(self.batch_size, len(self.train))

    @property
    def rows_per_epoch(self) -> int:
        return len(self.train) if self.streamed is None else self.batch_size * self.steps_per_epoch

    def batches(self, seed: int, epoch: int, groups: Sequence[Any] | None) -> list[list[int]]:
        """The places of an epoch's batches, over all processes."""
        if self.by_length is not None:
            return self.by_length.epoch(seed, self.number, epoch)
        return list(batches(shuffled(len(self.train), seed, self.number, epoch, groups), self.batch_size))


def plan_stages(config: PipelineConfig, data: InMemory | None, modalities: Modalities) -> list[StagePlan]:
    """The stages with their rows; a data file that several stages use is read once.

    Raises:
        DataError: no data, or nothing to train on.
    """
    read: list[tuple[DataConfig | None, dict[str, Sequence[Row]]]] = []
    plans = []
    for number, stage in enumerate(config.steps()):
        source = stage.data or config.data
        known = [splits for other, splits in read if other == source]
        if known:
            splits = known[0]
        elif stage.data is None and data is not None:
            splits = grouped_splits(splits_in_memory(data, config.data), config.group_by)
        elif source is not None:
            splits = load_samples(source, config.group_by)
        else:
            raise DataError("There is no data to train on: add 'data: {path: FILE}' to the config, or give data=...")
        if not known:
            read.append((source, splits))
        plan = StagePlan(
            number,
            stage,
            splits,
            source,
            config.loss_weights(stage),
            stage.epochs or config.training.epochs,
            stage.batch_size or config.training.batch_size,
            config.training.batch_tokens if stage.batch_size is None else None,
        )
        if source is not None and source.streaming is not None and (stage.data is not None or data is None):
            plan.streamed = open_stream(source, partial(_has_a_stream, modalities.stream_ports))
            plans.append(plan)
            continue
        rows = splits.get(plan.train_split, [])
        plan.train = with_streams(rows, modalities)
        plan.absent = len(rows) - len(plan.train)
        if not plan.train:
            where = f" in stage '{stage.name}'" if config.stages else ""
            found = f"'{plan.train_split}' has only rows without any stream" if rows else f"there are {listed(splits)}"
            raise DataError(
                f"There is nothing to train on{where}: no usable rows in split '{plan.train_split}' ({found})"
            )
        plans.append(plan)
    return plans


def with_streams(rows: Sequence[Row], modalities: Modalities) -> Sequence[Row]:
    """The rows with one stream at least."""
    ports = sorted(modalities.stream_ports, key=lambda port: port.modality.reads_files)  # what is small first
    return chosen(rows, (place for place, row in enumerate(rows) if _has_a_stream(ports, row)))


def _has_a_stream(ports: Sequence[Port], row: Row) -> bool:
    return any(port.present(row) for port in ports)


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


def require_targets(stages: Sequence[StagePlan], modalities: Modalities) -> None:
    """Read the targets of all splits that are not trained on, so that a new label is told before the training.

    Raises:
        DecodeError: names the sample and the target.
    """
    for plan in stages:
        ports = [
            port for port in modalities.target_ports if port.name in plan.weights and not port.modality.reads_files
        ]
        for split, rows in plan.splits.items():
            for row in rows if split != plan.train_split else ():
                for port in ports:
                    value = port.raw(row)
                    if value is not None:
                        port.prepare(row, value)


def _ports(modalities: Modalities) -> list[Port]:
    return [*modalities.stream_ports, *modalities.target_ports]


def _fingerprint(stages: Sequence[StagePlan]) -> str:
    """What tells the data of a run from other data."""
    whole = digest({f"{plan.number} {name}": rows for plan in stages for name, rows in plan.splits.items()})
    streamed = [plan.streamed.fingerprint for plan in stages if plan.streamed is not None]
    return hashlib.sha256(" ".join([whole, *streamed]).encode()).hexdigest() if streamed else whole


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


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
