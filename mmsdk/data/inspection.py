"""What is in the data, before it is trained on: columns, splits, labels; what cannot be read, repeats or leaks.

Of a table alone, kinds are guessed and files are opened; with a pipeline config its own modalities read every value.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mmsdk.config.data import SAMPLE_FILES, DataConfig, GroupBy
from mmsdk.config.file import load_config
from mmsdk.config.pipeline import PipelineConfig
from mmsdk.data.columns import SUFFIXES, describe
from mmsdk.data.grouping import grouped_splits, places
from mmsdk.data.limits import filled
from mmsdk.data.overlap import Overlaps, Splits, apart, duplicates, equal_files, equal_rows, equal_texts
from mmsdk.data.readable import FileColumn, Reader, unreadable
from mmsdk.data.samples import Row, read_rows
from mmsdk.data.splits import load_splits
from mmsdk.errors import ConfigError, DataError, MmsdkError, did_you_mean, listed

if TYPE_CHECKING:
    from mmsdk.pipeline.modalities import Modalities

CONFIGS = (".yaml", ".yml")
LABELS = ("answer", "target", "label")
"""What a column of labels is often called."""
CLASSES = ("category", "boolean", "list of texts")
COUNTED = ("label", "labels", "label_sequence")
"""Kinds of columns, and of targets, that hold labels."""
TEXTS = ("text", "url", "id")
"""Kinds of columns whose values may or may not stand in several splits; that is for a person to judge."""


class Tables(NamedTuple):
    """All rows by split; the splits that are trained on, and that choose a checkpoint.

    roles: columns that name rows ("id") or divide them ("split"). Rows that differ in nothing else are equal.
    samples: what a pipeline reads, by split: the rows themselves, or groups of them.
    """

    splits: dict[str, Sequence[Row]]
    train: set[str]
    valid: set[str]
    roles: dict[str, str]
    samples: dict[str, Sequence[Row]]

    def rows(self) -> Iterator[Row]:
        return chain.from_iterable(self.splits.values())

    def training(self) -> Iterator[Row]:
        return chain.from_iterable(rows for name, rows in self.samples.items() if name in self.train)


def inspect(path: Path, split_column: str | None = None, label: str | None = None) -> dict[str, Any]:
    """Look at a table (.jsonl, .csv), or at the data of a pipeline config (.yaml). The result is plain JSON.

    Its "problems" are what makes a training fail, or its figures dishonest.

    split_column: of a table; by default "split", where there is such a column.
    label: the column whose values are counted; by default the heads' targets, or a column called like a label.

    Raises:
        DataError: the data cannot be read at all, or a column that was asked for is not there.
        ConfigError: the config is not valid.
    """
    config, tables = _open(path, split_column)
    names = dict.fromkeys(name for row in tables.rows() for name in row.values)
    columns = {name: describe(row.values.get(name) for row in tables.rows()) for name in names}
    if label is not None and label not in columns:
        raise DataError(f"{path}: there is no column '{label}'.{did_you_mean(label, list(columns))}")
    for name in columns.keys() & tables.roles.keys():
        columns[name]["kind"] = tables.roles[name]
    report: dict[str, Any] = {"file": str(path), "rows": sum(map(len, tables.splits.values())), "columns": columns}
    report["splits"] = {name: len(rows) for name, rows in tables.splits.items()}
    problems: list[str] = []
    files: Sequence[Reader]
    readers: Sequence[Reader]
    if config is None:
        files = readers = [FileColumn(name) for name, about in columns.items() if about["kind"] in SUFFIXES]
    else:
        from mmsdk.pipeline.modalities import Modalities

        modalities = Modalities(config)
        streams, targets = modalities.stream_ports, modalities.target_ports
        report |= _groups(tables, config.group_by)
        report["streams"] = {port.name: {"column": port.column, "absent": _absent(tables, port)} for port in streams}
        problems += _fit(modalities, tables, list(columns))
        files = [port for port in [*streams, *targets] if port.modality.reads_files]
        known = [port for port in [*streams, *targets] if not (problems and port.modality.fits)]
        readers = known
        cut = filled(chain.from_iterable(tables.samples.values()), known)
        report["filled"] = [each._asdict() | {"text": str(each)} for each in cut]
    counted = [label] if label is not None else _label_columns(config, columns)
    report["labels"] = {name: balance(tables.splits, name) for name in counted}
    report["unreadable"] = unreadable(chain.from_iterable(tables.samples.values()), readers)
    report["duplicates"] = duplicates(tables.splits, tables.roles)
    pairs = apart(tables.splits, tables.train, tables.valid)
    taught = [pair for pair in pairs if pair[0] in tables.train] or pairs
    texts = [name for name in columns if columns[name]["kind"] in TEXTS and name not in counted]
    report["leaks"] = {
        "rows": equal_rows(tables.splits, pairs, tables.roles),
        "files": _some({reader.name: equal_files(tables.splits, pairs, reader) for reader in files}),
    }
    report["shared"] = _some({name: equal_texts(tables.splits, taught, name) for name in texts})
    return report | {"problems": [*problems, *_problems(report)]}


def _open(path: Path, split_column: str | None) -> tuple[PipelineConfig | None, Tables]:
    if path.suffix.lower() in CONFIGS:
        if split_column is not None:
            raise ConfigError(f"--split-column is for tables; {path} says it in 'data: {{split_column: ...}}'")
        config = load_config(path)
        return config, _of_config(config, path)
    if path.suffix.lower() not in SAMPLE_FILES and not path.is_dir():
        raise DataError(f"{path}: expected a table that ends in {listed(SAMPLE_FILES)}, or a pipeline in '.yaml'")
    if split_column is None and not path.is_dir():
        first = next(read_rows(path), None)
        split_column = "split" if first is not None and "split" in first.values else None
    data = DataConfig(path=path, split_column=split_column)
    return None, _of_data({"": data}, None)


def _of_config(config: PipelineConfig, path: Path) -> Tables:
    """The data of all stages. Where they have data of their own, a split is called `stage/split`."""
    sources: dict[str, DataConfig] = {}
    for stage in config.steps():
        data = stage.data or config.data
        if data is None:
            raise DataError(f"{path}: there is no data to look at: add 'data: {{path: FILE}}'")
        if data.streaming is not None:
            raise DataError(f"{path}: the training rows are streamed: look at one of the shards, mmsdk data SHARD")
        if data not in sources.values():
            sources[f"{stage.name}/"] = data
    return _of_data(sources if len(sources) > 1 else dict.fromkeys([""], *sources.values()), config.group_by)


def _of_data(sources: Mapping[str, DataConfig], by: GroupBy | None) -> Tables:
    """The splits of each source, with its prefix."""
    tables = Tables({}, set(), set(), {}, {})
    for prefix, data in sources.items():
        splits = load_splits(data, by.key if by is not None else None)
        tables.splits.update({prefix + split: rows for split, rows in splits.items()})
        tables.samples.update({prefix + split: rows for split, rows in grouped_splits(splits, by).items()})
        tables.train.add(prefix + data.train_split)
        tables.valid.add(prefix + data.valid_split)
        tables.roles[data.id_column] = "id"
        if data.split_column is not None:
            tables.roles[data.split_column] = "split"
    return tables


def _groups(tables: Tables, by: GroupBy | None) -> dict[str, Any]:
    """How many groups each split has, and of how many rows they are."""
    if by is None:
        return {}
    sizes = [len(own) for rows in tables.splits.values() for own in places(rows, by).values()]
    counts = {name: len(rows) for name, rows in tables.samples.items()}
    return {"groups": {"key": by.key, "count": counts, "shortest": min(sizes), "longest": max(sizes)}}


def _absent(tables: Tables, stream: Reader) -> dict[str, float]:
    """The share of rows without a value, per split."""
    return {
        name: sum(stream.raw(row) is None for row in rows) / max(len(rows), 1) for name, rows in tables.splits.items()
    }


def _fit(modalities: Modalities, tables: Tables, columns: Sequence[str]) -> list[str]:
    """Fit the modalities as a training would; why that is not possible, if so."""
    if next(tables.training(), None) is None:
        return [
            f"nothing to train on: no rows in split {listed(sorted(tables.train))}; there is {listed(tables.splits)}"
        ]
    problems = []
    for port in [*modalities.stream_ports, *modalities.target_ports]:
        if all(port.raw(row) is None for row in tables.training()):
            names = [port.column] if isinstance(port.column, str) else port.column
            hint = "".join(did_you_mean(name, columns) for name in names if name not in columns)
            problems.append(f"'{port.name}': no training row has a value in column {listed(names)}.{hint}")
    try:
        if not problems:
            modalities.fit(tables.training)
    except MmsdkError as error:
        problems.append(str(error))
    return problems


def _label_columns(config: PipelineConfig | None, columns: Mapping[str, Any]) -> list[str]:
    if config is None:
        return [name for name in LABELS if name in columns and columns[name]["kind"] in CLASSES][:1]
    targets = [(head.target_column(), head.target_config()) for head in config.heads.values()]
    wanted = [column for column, target in targets if column and target and target.gives in COUNTED]
    return [name for name in dict.fromkeys(wanted) if name in columns]


def balance(splits: Splits, column: str) -> dict[str, dict[str, int]]:
    """How often each label occurs per split, the most frequent first; of a list, each of its labels."""
    counts = {
        name: Counter(label for row in rows for label in _labels(row.value(column))) for name, rows in splits.items()
    }
    return {name: dict(count.most_common()) for name, count in counts.items()}


def _labels(value: Any) -> list[str]:
    """As text, so that 3 from a JSON file and "3" from a CSV file are one label."""
    values = value if isinstance(value, list) else [] if value is None else [value]
    return [each if isinstance(each, str) else json.dumps(each) for each in values]


def _some(found: Mapping[str, Overlaps]) -> dict[str, Overlaps]:
    return {name: overlaps for name, overlaps in found.items() if overlaps}


def _problems(report: Mapping[str, Any]) -> Iterator[str]:
    count = report["unreadable"]["count"]
    if count:
        yield f"{count:,} {'value' if count == 1 else 'values'} cannot be read"
    for name, about in report["columns"].items():
        if "odd" in about:
            yield f"'{name}': {about['odd']}"
    leaks = [("rows", found) for found in report["leaks"]["rows"]]
    leaks += [(f"files of '{name}'", found) for name, each in report["leaks"]["files"].items() for found in each]
    for what, found in leaks:
        one, other = found["splits"]
        counts = f"{found['count']:,} of {found['of']:,} different {what}"
        yield (
            f"{counts} in '{other}' are in '{one}', too, such as {' = '.join(dict.fromkeys(found['examples'][0]))}: "
            "take them out of one, or name a column that says which split a row belongs to"
        )
