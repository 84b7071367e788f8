"""What a pipeline can be measured on: rows from Python, a run's own splits, or a file in their place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from mmsdk.config.data import DataConfig
from mmsdk.config.file import saved_config
from mmsdk.config.pipeline import PipelineConfig
from mmsdk.config.training import StageConfig
from mmsdk.data.grouping import grouped, load_samples
from mmsdk.data.samples import Row, Sample, as_row, open_rows
from mmsdk.errors import ConfigError, DataError, did_you_mean, listed
from mmsdk.training.run import Run


class Part(NamedTuple):
    """The samples of one split, and the heads that are measured on them."""

    split: str
    rows: Sequence[Row]
    heads: list[str]


def parts_in_memory(
    config: PipelineConfig, data: Mapping[str, Sequence[Sample | Row]], heads: Sequence[str] | None
) -> list[Part]:
    """Lists of rows by split, each for these heads; by default for all.

    Raises:
        ConfigError: there is no such head. DataError: rows that cannot be grouped.
    """
    names = [known_head(config, name) for name in heads] if heads is not None else list(config.heads)
    return [Part(split, in_memory(config, split, rows), names) for split, rows in data.items()]


def in_memory(config: PipelineConfig, split: str, rows: Sequence[Sample | Row]) -> Sequence[Row]:
    """Rows from Python as samples."""
    read = [each if isinstance(each, Row) else as_row(each, f"{split}[{n}]") for n, each in enumerate(rows)]
    return grouped(read, config.group_by)


def parts_of_run(folder: Path, config: PipelineConfig, data: Path | None, splits: Sequence[str]) -> list[Part]:
    """A run's own data (every split that was not trained on), or another file.

    Another file is divided by its column "split" where `splits` are named; otherwise it is one split.

    Raises:
        DataError: a split that is not there, or data that cannot be read or was never in a file.
    """
    if data is not None and not splits:
        return [Part(data.stem, grouped(open_rows(data), config.group_by), list(config.heads))]
    if not (folder / "config.json").is_file():
        raise DataError(f"{folder}: a saved pipeline without its run has no data of its own: give --data FILE")
    began = _began(folder)
    found: list[Part] = []
    known: dict[str, None] = {}
    for stage in began.steps():
        source = _source(folder, began, stage, data)
        tables = load_samples(source, began.group_by)
        known |= dict.fromkeys(tables)
        wanted = splits or [name for name in tables if name != source.train_split]
        heads = list(began.loss_weights(stage))
        found += [Part(name, rows, heads) for name, rows in tables.items() if name in wanted]
    for name in splits:
        if name not in known:
            raise DataError(f"There is no split '{name}'. There is: {listed(known)}.")
    return found


def training_samples(folder: Path, head: str, data: Path | None) -> Sequence[Row]:
    """What a head was trained on last: of the run's own data or, where that was never in a file, of another file.

    Raises:
        DataError: neither has them.
    """
    if not (folder / "config.json").is_file():
        raise DataError(
            f"{folder}: a saved pipeline without its run does not know what it was trained on: name the run"
        )
    began = _began(folder)
    stage = [each for each in began.steps() if head in began.loss_weights(each)][-1]
    own = stage.data is not None or began.data is not None
    source = _source(folder, began, stage, None if own else data)
    if source.streaming is not None:
        raise DataError(f"{folder}: its training rows were streamed, and cannot all be read to learn the prior from")
    rows = load_samples(source, began.group_by).get(source.train_split, [])
    if not rows:
        raise DataError(
            f"{source.place}: there are no rows of the split '{source.train_split}', to learn the prior from"
        )
    return rows


def known_head(config: PipelineConfig, name: str) -> str:
    """The name, of a head that is there."""
    if name not in config.heads:
        hint = did_you_mean(name, list(config.heads)) or f" There is: {listed(config.heads)}."
        raise ConfigError(f"There is no head '{name}'.{hint}")
    return name


def _began(folder: Path) -> PipelineConfig:
    return saved_config(Run(folder).facts()["config"], folder / "config.json")


def _source(folder: Path, began: PipelineConfig, stage: StageConfig, data: Path | None) -> DataConfig:
    source = stage.data or began.data
    if data is not None:
        column = (source.split_column if source is not None else None) or "split"
        return DataConfig(path=data, split_column=column)
    if source is None:
        raise DataError(f"{folder}: this run was trained on data from Python: give a file with --data FILE")
    return source
