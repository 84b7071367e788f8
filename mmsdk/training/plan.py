"""The stages of a training with their rows and heads, before anything is built."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

from mmsdk.config.data import DataConfig
from mmsdk.config.pipeline import PipelineConfig
from mmsdk.config.training import StageConfig
from mmsdk.data.grouping import grouped_splits, load_samples
from mmsdk.data.lengths import LengthBatches
from mmsdk.data.samples import InMemory, Row
from mmsdk.data.sampling import batches, shuffled
from mmsdk.data.splits import splits_in_memory
from mmsdk.data.streaming import Streamed, open_stream
from mmsdk.data.tables import chosen
from mmsdk.errors import DataError, listed
from mmsdk.pipeline.modalities import Modalities, Port


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
