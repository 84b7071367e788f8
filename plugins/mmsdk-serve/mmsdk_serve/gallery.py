"""An index of mmsdk-retrieval behind queues: what is near to a query, and small pictures of what was found."""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from mmsdk import DecodeError, MmsdkError, on_white, picture
from mmsdk_serve.batching import Batcher
from mmsdk_serve.inputs import Column, InputError
from mmsdk_serve.served import Served

if TYPE_CHECKING:
    from mmsdk_retrieval import Hit, Index

log = logging.getLogger("mmsdk.serve")
SIDE = 256
"""Pixels of a small picture, at most."""
LONGEST = 300
"""Characters of a value that a result tells."""
MOST = 100
"""Results of a search."""


class Query(NamedTuple):
    """values: by column. within: the stream that is searched; None is the only one that is not asked by."""

    values: Mapping[str, Any]
    within: str | None
    most: int


class Found(NamedTuple):
    """within: the stream that was searched."""

    within: str
    hits: Sequence[Hit]


class Gallery:
    """An index, searched by the pipeline that made it.

    Pictures are told by number: that of the row, times the columns with pictures, plus that of the column. So nothing
    can be named but what the index lists, and no path goes in or out.

    Raises:
        CheckpointError: the index was made with another pipeline.
    """

    def __init__(self, served: Served, index: Index) -> None:
        index.require(served.pipeline)
        self.served, self.index = served, index
        compared = served.pipeline.config.heads[index.header.head].reads
        fused = any(source.partition(".")[0] == "fused" for source in compared)
        self.columns: dict[str, Column] = {
            name: column for name, column in served.columns.items() if fused or column.stream in compared
        }
        self.counts = {stream: int(part.any(dim=1).sum()) for stream, part in index.vectors.items()}
        self._places = {line.id: place for place, line in enumerate(index.lines)}
        room = served.limits.waiting
        self.searching: Batcher[Query, Found] = Batcher(lambda asked: [self._search(*asked)], largest=1, room=room)
        self.drawing: Batcher[int, bytes | None] = Batcher(lambda asked: [self._small(*asked)], largest=1, room=room)

    def about(self) -> dict[str, Any]:
        """What a client has to know."""
        return {"streams": self.index.header.streams, "columns": list(self.columns), "rows": len(self.index)}

    async def search(self, query: Query) -> dict[str, Any]:
        """The nearest rows as JSON values.

        Raises:
            InputError: what is wrong with the query. FullError, ClosedError, LateError; TimeoutError.
        """
        (found,) = await self.searching.ask([query], self.served.limits.deadline)
        return {"in": found.within, "results": [self._told(hit) for hit in found.hits]}

    async def small(self, number: int) -> bytes | None:
        """A picture as a small JPEG; nothing where the index lists none, or where it cannot be read any longer.

        Raises:
            FullError, ClosedError, LateError; TimeoutError.
        """
        return (await self.drawing.ask([number], self.served.limits.deadline))[0]

    def _search(self, query: Query) -> Found:
        asked: dict[str, Any] = {}
        for name, value in query.values.items():
            stream, alone = self.columns[name].stream, isinstance(self._column(name), str)
            asked = {**asked, stream: value if alone else {**asked.get(stream, {}), name: value}}
        try:
            within = query.within or self.index.default_stream(asked.keys())
            count = min(query.most, self.counts[within]) or None
            with self.served.busy:
                return Found(within, self.index.search(self.served.pipeline, asked, k=count, within=within))
        except MmsdkError as error:
            raise InputError(str(error)) from None

    def _column(self, name: str) -> str | Sequence[str]:
        return self.served.pipeline.config.column_of(self.columns[name].stream)

    def _told(self, hit: Hit) -> dict[str, Any]:
        """Texts and numbers of a row; what a stream reads as a file is a path of this machine, and is not told."""
        first = self._places[hit.id] * len(self.index.header.pictures)
        pictures = [first + each for each, name in enumerate(self.index.header.pictures) if hit.values.get(name)]
        values = {
            name: value[:LONGEST] if isinstance(value, str) else value
            for name, value in hit.values.items()
            if isinstance(value, str | int | float) and not self._is_file(name)
        }
        return {"rank": hit.rank, "id": hit.id, "score": hit.score, "values": values, "pictures": pictures}

    def _is_file(self, name: str) -> bool:
        column = self.served.columns.get(name)
        return name in self.index.header.pictures or (column is not None and column.binary)

    def _small(self, number: int) -> bytes | None:
        columns = self.index.header.pictures
        if not 0 <= number < len(self.index) * len(columns):
            return None
        value = self.index.lines[number // len(columns)].values.get(columns[number % len(columns)])
        if not value:
            return None
        try:
            drawn = on_white(picture(value))
        except DecodeError as error:
            log.warning("picture %d of '%s': %s", number, self.served.name, error)
            return None
        drawn.thumbnail((SIDE, SIDE))
        file = io.BytesIO()
        drawn.save(file, "JPEG", quality=85)
        return file.getvalue()
