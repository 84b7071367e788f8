"""A pipeline for somebody's own table, as it is decided before a line of it is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from mmsdk.errors import ConfigError
from mmsdk.scaffold.applications import Application
from mmsdk.scaffold.sizes import Sizes, sizes
from mmsdk.scaffold.streams import Stream, find_streams
from mmsdk.scaffold.table import Table
from mmsdk.scaffold.target import Target, find_target

SHARED = 3
"""From so many rows to each different file on, it pays to have them in one batch."""
FEW = 100
"""With fewer rows than that no figure is to be trusted."""
MANY = 10_000
"""With so many rows nothing has to be varied at random."""


class Wishes(NamedTuple):
    """What the user says instead of leaving it to a guess.

    streams: modality by column. target: the column to predict. without: columns to leave out.
    """

    streams: Mapping[str, str] = {}
    target: str | None = None
    without: Sequence[str] = ()


class Draft(NamedTuple):
    """What is to be written, and what was found on the way.

    left_out: the reason by column. group: the stream whose equal values share a batch. notes: what a user should know
    before believing any figure.
    """

    name: str
    application: Application
    table: Table
    target: Target | None
    streams: list[Stream]
    left_out: dict[str, str]
    sizes: Sizes
    group: str | None
    notes: list[str]


def drafted(name: str, application: Application, table: Table, wishes: Wishes) -> Draft:
    """The pipeline of an application for a table.

    Raises:
        ConfigError: a wish that contradicts another one, or a modality that is not there.
        DataError: the table does not have what the application needs.
    """
    roles = _roles(table, wishes)
    target = None
    if not application.contrasts or wishes.target is not None:
        target = find_target(application, table, wishes.target, set(roles))
        roles |= {target.column: "target"}
    streams, left_out = find_streams(application, table, target, wishes.streams, roles)
    if application.varies and table.train_count < MANY:
        streams = [stream.varied() for stream in streams]
    shared = _shared(table, streams)
    size = sizes(
        table.train_count,
        contrasts=application.contrasts,
        shared=1.0 if application.contrasts else max(shared.values(), default=1.0),
        patience=application.patience,
    )
    return Draft(
        name,
        application,
        table,
        target,
        streams,
        left_out | {column: "as asked for" for column in wishes.without},
        size,
        None if application.contrasts else max(shared, key=lambda stream: shared[stream], default=None),
        list(_notes(application, table, target, streams, shared)),
    )


def _roles(table: Table, wishes: Wishes) -> dict[str, str]:
    """Columns that are no streams, and what they are."""
    for option, columns in (("--stream", wishes.streams), ("--without", wishes.without)):
        for column in columns:
            table.require(column, option)
    both = [column for column in wishes.streams if column in wishes.without or column == wishes.target]
    if both:
        raise ConfigError(f"'{both[0]}' is asked for as a stream and as something else: leave one of the options out")
    if wishes.target is not None and wishes.target in wishes.without:
        raise ConfigError(f"'{wishes.target}' is asked for as the target, and to be left out: leave one option out")
    roles = {column: "left out" for column in wishes.without}
    if "id" in table.columns and "id" not in wishes.streams:
        roles["id"] = "id"
    if table.split_column is not None:
        roles[table.split_column] = "split"
    return roles


def _shared(table: Table, streams: Sequence[Stream]) -> dict[str, float]:
    """Streams of files that several rows share, and how many rows that is for each file."""
    found = {}
    for stream in streams:
        if stream.gives not in ("tokens", "table"):
            values = [value for row in table.train if isinstance(value := row.value(stream.columns[0]), str)]
            if values and len(values) >= SHARED * len(set(values)):
                found[stream.name] = len(values) / len(set(values))
    return found


def _notes(
    application: Application,
    table: Table,
    target: Target | None,
    streams: Sequence[Stream],
    shared: Mapping[str, float],
) -> Iterator[str]:
    columns = [column for stream in streams for column in stream.columns]
    for column in [*columns, *([target.column] if target is not None else [])]:
        absent = table.absent_files(column)
        if absent:
            yield f"{absent}; `mmsdk data` names all, and a training stops at the first one"
    if len(table.rows) < FEW:
        yield f"{len(table.rows)} rows are few: do not trust figures that are measured on a handful of them"
    if not table.whole:
        yield f"only the first {len(table.rows):,} rows were looked at, of about {table.count:,}"
    elif table.split_column is not None and not table.judged:
        yield f"'{table.split_column}' names the training split alone: nothing will tell how good the result is"
    for stream in shared:
        if table.split_column is None:
            yield (
                f"rows share files of '{stream}', and a random split tears them apart, which makes figures too good: "
                "add a column 'split' that keeps them together"
            )
        if application.contrasts:
            yield f"rows share files of '{stream}': to find another row of the same file counts as a mistake"
