"""Parquet and Arrow files as tables in memory-mapped files, through Hugging Face `datasets` (an extra).

A Parquet file is compressed in blocks, so that no row of it can be read by itself. `datasets` writes it once as Arrow,
into its cache, and maps that: memory holds what is looked at, and a second run finds it there.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmsdk.data.samples import Row, as_row
from mmsdk.data.tables import Cells, Table, fingerprint_of
from mmsdk.errors import DataError

if TYPE_CHECKING:
    import pyarrow

BUILDERS = {".parquet": "parquet", ".arrow": "arrow", ".feather": "arrow"}
FILE = {"bytes", "path"}
"""The fields of a picture or a sound in an Arrow table: its content, or where that is."""
AT_ONCE = 16
"""Rows that are decoded at a time where all are read one after the other: pictures may be among them."""
STREAM_END = b"\xff\xff\xff\xff\0\0\0\0"
FILE_MARK = b"ARROW1"


class ArrowTable(Table):
    """The rows of a `datasets.Dataset`, values as they are stored: no picture and no sound is decoded here.

    A picture or a sound is the bytes of its file, or a path relative to `folder`; a class label is its name.
    place: what rows without an id are called after.
    """

    def __init__(self, dataset: Any, place: str, id_column: str, folder: Path | None, fingerprint: str) -> None:
        self.dataset = dataset if dataset._indices is None else dataset.flatten_indices()
        self.place, self.id_column, self.folder, self._fingerprint = place, id_column, folder, fingerprint
        self._columns: dict[str, pyarrow.ChunkedArray] = {}
        self._length = len(self.dataset)
        self.columns: list[str] = list(self.dataset.column_names)
        self.labels = labels_of(self.dataset.features)  # once: `datasets` copies them at each look

    def __len__(self) -> int:
        return self._length

    def row(self, place: int) -> Row:
        return as_row(ArrowCells(self, place), f"{self.place}:{place + 1}", self.id_column, self.folder)

    def fingerprint(self) -> str:
        return self._fingerprint

    def scalar(self, column: str, place: int) -> pyarrow.Scalar:
        """A value where it is: in the mapped file."""
        if column not in self._columns:
            self._columns[column] = self.dataset.data.column(column)
        return self._columns[column][place]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_columns": {}}  # to another process goes where the file is, not what it holds


class ArrowCells(Cells):
    """The values of one row of an ArrowTable."""

    def __init__(self, table: ArrowTable, place: int) -> None:
        self.table, self.place = table, place

    def __getitem__(self, column: str) -> Any:
        if column not in self.table.columns:
            raise KeyError(column)
        value = self.table.scalar(column, self.place).as_py()
        return plain(value, self.table.labels.get(column))

    def __iter__(self) -> Iterator[str]:
        return iter(self.table.columns)

    def __len__(self) -> int:
        return len(self.table.columns)

    def holds_bytes(self, column: str) -> bool:
        if column not in self.table.columns:
            return False
        scalar = self.table.scalar(column, self.place)
        if scalar.is_valid and _is_file(getattr(scalar, "type", None)):
            scalar = scalar["bytes"]
        return scalar.is_valid and hasattr(scalar, "as_buffer") and scalar.as_buffer().size > 0 and _is_binary(scalar)


def _is_file(type: Any) -> bool:
    return getattr(type, "num_fields", 0) == 2 and {type.field(number).name for number in range(2)} == FILE


def _is_binary(scalar: Any) -> bool:
    return str(scalar.type) in ("binary", "large_binary")


def labels_of(features: Mapping[str, Any] | None) -> dict[str, list[str]]:
    """By column of class labels, which are stored as numbers: their names."""
    found = (features or {}).items()
    return {name: list(feature.names) for name, feature in found if type(feature).__name__ == "ClassLabel"}


def plain(value: Any, labels: Sequence[str] | None = None) -> Any:
    """The name of a label; bytes or a path where a file is stored, also in lists of files."""
    if labels is not None:
        return labels[value] if value is not None and 0 <= value < len(labels) else None  # -1 is no label
    if isinstance(value, dict):
        if value.keys() == FILE:
            return value["bytes"] if value["bytes"] is not None else value["path"]
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list) and any(isinstance(each, dict) for each in value):
        return [plain(each) for each in value]
    return value


def require_datasets() -> Any:
    """The module.

    Raises:
        DataError: it is not installed.
    """
    try:
        import datasets
    except ImportError as error:
        raise DataError(
            f"'{error.name}' is not installed, which reads Parquet, Arrow and data sets of the hub: "
            "pip install 'mmsdk[datasets]'"
        ) from None
    return datasets


def table_of(dataset: Any, place: str, id_column: str, folder: Path | None) -> ArrowTable:
    """The rows of a `datasets.Dataset` whose files have been written whole.

    Raises:
        DataError: one of them is truncated.
    """
    files = [Path(each["filename"]) for each in dataset.cache_files]
    for file in files:
        require_whole(file)
    told = fingerprint_of(files) if files else dataset._fingerprint  # none, where `datasets` was told to use memory
    return ArrowTable(dataset, place, id_column, folder, told)


def open_arrow(files: Sequence[Path], place: str, id_column: str, folder: Path) -> ArrowTable:
    """The rows of .parquet, .arrow or .feather files, one file after the other.

    Raises:
        DataError: the extra is missing; a file is truncated or damaged, or has other columns than those before it.
    """
    datasets = require_datasets()
    for file in files:
        require_whole(file)
    builder = BUILDERS[files[0].suffix.lower()]
    try:
        with quiet(datasets):
            found = datasets.load_dataset(builder, data_files={"train": [str(file) for file in files]}, split="train")
    except Exception as error:  # of whatever kind the reader of a format has
        raise DataError(f"{_culprit(files) or place}: cannot be read: {why(error)}") from None
    return ArrowTable(found, place, id_column, folder, fingerprint_of(files))


@contextmanager
def quiet(datasets: Any) -> Iterator[None]:
    """No progress where nobody sits in front, and no words of its own on errors that are told anyway."""
    shown, level = datasets.are_progress_bars_disabled(), datasets.logging.get_verbosity()
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    try:
        yield
    finally:
        datasets.logging.set_verbosity(level)
        if not shown:
            datasets.enable_progress_bars()


def why(error: BaseException) -> str:
    """The last of the errors that led to each other says what is wrong."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().split("\n")[0] or type(error).__name__


def require_whole(file: Path) -> None:
    """A shard that was cut off is told by its end, before any of it is read.

    Raises:
        DataError: names the shard.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        if file.suffix.lower() == ".parquet":
            pyarrow.parquet.read_metadata(file)
            return
        with file.open("rb") as opened:
            begins = opened.read(len(FILE_MARK))
            opened.seek(0, 2)
            opened.seek(max(opened.tell() - len(STREAM_END), 0))
            ends = opened.read()
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{file}: truncated or damaged: {why(error)}") from None
    if begins == b"FEA1":
        raise DataError(f"{file}: written in version 1 of Feather: write it once more, with any pyarrow of today")
    end = FILE_MARK if begins == FILE_MARK else STREAM_END
    if not ends.endswith(end):
        raise DataError(f"{file}: truncated: an Arrow file does not end like this: copy it once more")


def _culprit(files: Sequence[Path]) -> str | None:
    """The first file that cannot be read through, once it is known that one of them cannot."""
    for file in files:
        try:
            for _ in batches_of(file):
                pass
        except Exception as error:
            return f"{file} ({why(error)})"
    return None


def batches_of(file: Path) -> Iterator[pyarrow.RecordBatch]:
    """The batches of a file, one after the other."""
    import pyarrow
    import pyarrow.parquet

    if file.suffix.lower() == ".parquet":
        with pyarrow.parquet.ParquetFile(file, memory_map=True) as table:
            yield from table.iter_batches(AT_ONCE)
        return
    with pyarrow.memory_map(str(file)) as source:
        begins = source.read(len(FILE_MARK))
        source.seek(0)
        if begins == FILE_MARK:
            reader = pyarrow.ipc.open_file(source)
            yield from (reader.get_batch(number) for number in range(reader.num_record_batches))
        else:
            yield from pyarrow.ipc.open_stream(source)


def rows_of(file: Path, id_column: str) -> Iterator[Row]:
    """The rows of one file from the first to the last, without a copy of it in a cache.

    Raises:
        DataError: it is truncated or damaged.
    """
    datasets = require_datasets()
    require_whole(file)
    labels: dict[str, list[str]] | None = None
    number, folder = 0, file.absolute().parent
    batches = batches_of(file)
    while True:
        try:
            batch = next(batches, None)
        except Exception as error:
            raise DataError(f"{file}: cannot be read after row {number}: {why(error)}") from None
        if batch is None:
            return
        if labels is None:
            labels = labels_of(datasets.Features.from_arrow_schema(batch.schema))
        for start in range(0, len(batch), AT_ONCE):
            for values in batch.slice(start, AT_ONCE).to_pylist():
                number += 1
                found = {name: plain(value, labels.get(name)) for name, value in values.items()}
                yield as_row(found, f"{file.name}:{number}", id_column, folder)
