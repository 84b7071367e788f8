"""Splits: which rows are trained on, and which ones judge. By files, by a column, or by a draw."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmsdk.config.data import DataConfig
from mmsdk.data.samples import InMemory, Row, as_row, content, is_missing, open_rows
from mmsdk.data.tables import chosen
from mmsdk.errors import DataError, did_you_mean, listed


def load_splits(data: DataConfig, together: str | None = None) -> dict[str, Sequence[Row]]:
    """All rows of a `data:` section by split, in file order.

    together: a column whose equal values no holdout tears apart.

    Raises:
        DataError: see `read_rows`; also an empty file, or a split column that is not there.
    """
    splits = _given_splits(data)
    if data.split_column is not None:
        if len(splits) > 1:
            raise DataError(f"{data.place}: has splits already ({listed(splits)}): leave 'split_column' out")
        return _divided(next(iter(splits.values())), data.split_column, f"{data.place}: ")
    if data.holdout:
        rows = splits.pop(data.train_split, None)
        if rows is None:
            raise DataError(
                f"{data.place}: has no split '{data.train_split}' to hold rows out of, but {listed(splits)}"
            )
        twice = [name for name in data.holdout if name in splits]
        if twice:
            raise DataError(f"{data.place}: has a split '{twice[0]}' already: hold rows out for one of another name")
        return {**held_out(rows, data, together), **splits}
    return splits


def _given_splits(data: DataConfig) -> dict[str, Sequence[Row]]:
    """The splits that stand apart already: in files of their own, or in a data set that has some.

    Without the one that is streamed; the others of a data set that is streamed are kept in memory.
    """
    if data.files:
        files = {name: path for name, path in data.files.items() if not data.streams(name)}
        return {name: _not_empty(open_rows(path, data.id_column), path) for name, path in files.items()}
    if data.path is not None and not data.path.is_dir():
        if data.streams(data.train_split):
            return {}
        return {data.train_split: _not_empty(open_rows(data.path, data.id_column), data.path)}
    from mmsdk.data.hub import open_folder, open_hub, open_streams

    if data.streaming is not None:
        shards = {name: own for name, own in open_streams(data)[0].items() if not data.streams(name)}
        return {name: [row for shard in own for row in shard()] for name, own in shards.items()}

    if data.path is not None:
        found = open_folder(data.path, data.id_column, data.train_split)
    else:
        assert data.hub is not None
        found = open_hub(data.hub, data.id_column)
    return {name: _not_empty(rows, f"{data.place}: split '{name}'") for name, rows in found.items()}


def splits_in_memory(data: InMemory, config: DataConfig | None) -> dict[str, Sequence[Row]]:
    """The same for Python data: a list (divided by its column "split", where it has one), or a list per split."""
    id_column = config.id_column if config is not None else "id"
    if isinstance(data, str | Path):
        raise DataError(f"data=... takes rows from Python; a file belongs in the config: data: {{path: {data}}}")
    if isinstance(data, Mapping):
        return {
            name: [as_row(values, f"{name}[{index}]", id_column) for index, values in enumerate(rows)]
            for name, rows in data.items()
        }
    rows = [as_row(values, f"sample[{index}]", id_column) for index, values in enumerate(data)]
    column = (config.split_column if config is not None else None) or "split"
    if any(column in row.values for row in rows):
        return _divided(rows, column)
    return {config.train_split if config is not None else "train": rows}


def _divided(rows: Sequence[Row], column: str, place: str = "") -> dict[str, Sequence[Row]]:
    splits: dict[str, array[int]] = {}
    for number, row in enumerate(rows):
        name = row.values.get(column)
        if is_missing(name):
            hint = did_you_mean(column, [other for other in row.values if other != column])
            raise DataError(f"{place}sample '{row.id}' has no value in the split column '{column}'.{hint}")
        splits.setdefault(str(name), array("q")).append(number)
    return {name: chosen(rows, places) for name, places in splits.items()}


def _not_empty(rows: Sequence[Row], path: Path | str) -> Sequence[Row]:
    if not rows:
        raise DataError(f"{path}: there are no samples in this file")
    return rows


def held_out(rows: Sequence[Row], data: DataConfig, together: str | None = None) -> dict[str, Sequence[Row]]:
    """Divide by a hash of the content, or of one column, so that equal rows never stand on both sides."""
    splits = {name: array("q") for name in (data.train_split, *data.holdout)}
    for number, row in enumerate(rows):
        kept = row if together is None else Row(row.id, {together: str(row.values.get(together))})
        draw = int.from_bytes(content(kept, {data.id_column} - {together})[:8]) / 2**64
        name = data.train_split
        for split, share in data.holdout.items():
            if draw < share:
                name = split
                break
            draw -= share
        splits[name].append(number)
    return {name: chosen(rows, places) for name, places in splits.items()}
