"""What is in the data, before it is trained on: columns, splits, labels; what cannot be read, repeats or leaks.

Of a table alone, kinds are guessed and files are opened; with a pipeline config its own modalities read every value.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, combinations
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from mmsdk.columns import SUFFIXES, describe
from mmsdk.config import DataConfig, PipelineConfig
from mmsdk.config_file import load_config
from mmsdk.errors import ConfigError, DataError, DecodeError, MmsdkError, did_you_mean, listed
from mmsdk.media import identities, try_to_open
from mmsdk.samples import FORMATS, Row, content, load_splits, read_rows

EXAMPLES = 20
CONFIGS = (".yaml", ".yml")
LABELS = ("answer", "target", "label")
"""What a column of labels is often called."""
Problems = list[str]


class Reader(Protocol):
    """Where a value stands in a row, and how it is read. A `Port`, or a column of files."""

    @property
    def name(self) -> str: ...
    def raw(self, row: Row) -> Any: ...
    def prepare(self, row: Row, value: Any) -> Any: ...


class FileColumn(NamedTuple):
    """A column of paths in a table without a config."""

    name: str

    def raw(self, row: Row) -> Any:
        value = row.value(self.name)
        return (row.folder or Path()) / value if isinstance(value, str) else value

    def prepare(self, row: Row, value: Any) -> None:
        if not isinstance(value, Path):
            raise DecodeError(f"expected the path of a file, got {str(value)[:40]}")
        try_to_open(value)


class Tables(NamedTuple):
    """The rows by split.

    train, valid: splits that are trained on, and that choose a checkpoint. Whatever else there is judges the result.
    names: columns that tell rows apart or divide them, without being part of what is learned.
    """

    splits: dict[str, list[Row]]
    train: set[str]
    valid: set[str]
    names: set[str]

    def rows(self, splits: Iterable[str] | None = None) -> Iterator[Row]:
        return chain.from_iterable(self.splits[name] for name in (self.splits if splits is None else splits))

    def pairs(self) -> list[tuple[str, str]]:
        """Splits that must have nothing in common: what the first one teaches must not help on the second one.

        Two test splits may overlap. Where no split is called `train`, each is held against each.
        """
        rank = {name: 0 if name in self.train else 1 if name in self.valid else 2 for name in self.splits}
        order = sorted(self.splits, key=lambda name: rank[name])
        apart = 0 in rank.values()
        return [(one, other) for one, other in combinations(order, 2) if rank[one] < rank[other] or not apart]


def inspect(path: Path, split_column: str | None = None, label: str | None = None) -> dict[str, Any]:
    """Look at a table (.jsonl, .csv), or at the data of a pipeline config (.yaml); the result is plain JSON.

    split_column: of a table; by default "split", where there is such a column.
    label: the column whose balance is counted; by default the heads' targets, or a column called like a label.

    Raises:
        DataError: the data cannot be read at all, or a column that was asked for is not there.
        ConfigError: the config is not valid.
    """
    problems: Problems = []
    if path.suffix.lower() in CONFIGS:
        if split_column is not None:
            raise ConfigError(f"--split-column is for tables: {path} names its own in 'data: {{split_column: ...}}'")
        config = load_config(path)
        tables = _of_config(config, path)
    elif path.suffix.lower() in FORMATS:
        config, tables = None, _of_table(path, split_column)
    else:
        raise DataError(f"{path}: expected a table that ends in {listed(FORMATS)}, or a pipeline in '.yaml'")
    columns = _columns(tables)
    if label is not None and label not in columns:
        raise DataError(f"{path}: there is no column '{label}'.{did_you_mean(label, list(columns))}")
    report: dict[str, Any] = {
        "file": str(path),
        "rows": sum(map(len, tables.splits.values())),
        "columns": columns,
        "splits": {name: len(rows) for name, rows in tables.splits.items()},
    }
    if config is None:
        files: list[Reader] = [FileColumn(name) for name, about in columns.items() if about["kind"] in SUFFIXES]
        readers = files
        targets = [label] if label is not None else [name for name in LABELS if name in columns][:1]
    else:
        files, readers, report["streams"] = _configured(config, tables, columns, problems)
        targets = [label] if label is not None else _targets(config)
    report["labels"] = {name: _balance(tables, name, columns[name]["kind"]) for name in targets if name in columns}
    report["unreadable"] = unreadable(tables.rows(), readers)
    if report["unreadable"]["count"]:
        problems.append(f"{report['unreadable']['count']:,} values cannot be read")
    report["duplicates"] = _duplicates(tables)
    report["leaks"] = _leaks(tables, files)
    problems += [_leak_text(leak) for leak in report["leaks"]]
    report["shared"] = _shared(tables, columns)
    return report | {"problems": problems}


def _of_table(path: Path, split_column: str | None) -> Tables:
    first = next(read_rows(path), None)
    if split_column is None and first is not None and "split" in first.values:
        split_column = "split"
    data = DataConfig(path=path, split_column=split_column)
    splits = load_splits(data)
    return Tables(splits, {data.train_split}, {data.valid_split}, {data.id_column, split_column or ""})


def _of_config(config: PipelineConfig, path: Path) -> Tables:
    """The data of all stages; with several sources, a split is called `stage/split`."""
    sources = {stage.name: stage.data or config.data for stage in config.steps()}
    known: dict[str, DataConfig] = {}
    for stage, data in sources.items():
        if data is None:
            raise DataError(f"{path}: there is no data to look at: add 'data: {{path: FILE}}'")
        if data not in known.values():
            known[stage] = data
    tables = Tables({}, set(), set(), set())
    for stage, data in known.items():
        prefix = f"{stage}/" if len(known) > 1 else ""
        tables.splits.update({prefix + name: rows for name, rows in load_splits(data).items()})
        tables.train.add(prefix + data.train_split)
        tables.valid.add(prefix + data.valid_split)
        tables.names.update({data.id_column, data.split_column or ""})
    return tables


def _columns(tables: Tables) -> dict[str, dict[str, Any]]:
    names = dict.fromkeys(name for row in tables.rows() for name in row.values)
    return {name: describe(row.values.get(name) for row in tables.rows()) for name in names}
