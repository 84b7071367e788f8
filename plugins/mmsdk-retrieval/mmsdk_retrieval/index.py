"""An index: embeddings of rows with their ids and values, to be searched by any stream of the pipeline."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self
from weakref import WeakSet

import torch
from torch import Tensor

from mmsdk import CheckpointError, ConfigError, DataError, DecodeError, Pipeline, Row
from mmsdk_retrieval import storage
from mmsdk_retrieval.nearest import Backend, Exact
from mmsdk_retrieval.queries import embedded_queries, gives
from mmsdk_retrieval.storage import Header, Line, Stored
from mmsdk_retrieval.wording import choice, listed

Samples = Iterable[Mapping[str, Any] | Row]


class Hit(NamedTuple):
    """What a search found.

    rank: from 1. score: the cosine similarity; of several queries, the sum of 1 / (60 + rank) over them.
    values: the row's own, such as its caption and the path of its image.
    """

    rank: int
    id: str
    score: float
    values: Mapping[str, Any]


class Index:
    """Rows that can be searched: `Index.build(pipeline, samples)`, `search`, `append`, `delete`, `save`, `Index.load`.

    It belongs to the pipeline that made it, as vectors of two models cannot be compared.
    """

    def __init__(self, stored: Stored) -> None:
        self.header, self.lines, self.vectors = stored
        self._searchers: dict[tuple[str, Backend], tuple[Tensor, Exact]] = {}
        self._known: WeakSet[Pipeline] = WeakSet()

    @classmethod
    def build(
        cls,
        pipeline: Pipeline,
        samples: Samples,
        *,
        streams: Sequence[str] | None = None,
        head: str | None = None,
        skipped: list[DecodeError] | None = None,
        run: str | Path | None = None,
    ) -> Self:
        """Embed samples and keep the vectors.

        streams: that can be searched; by default all that the head compares. head: by default the only one with
        embeddings. skipped: takes samples that cannot be read, instead of an error; `mmsdk.Skipped(rows)` takes a few.
        run: where the pipeline is saved, so that a search finds it.

        Raises:
            ConfigError: no such stream or head. DecodeError: a sample cannot be read.
            DataError: an id comes twice, or no sample has any of the streams.
        """
        config, name = pipeline.config, pipeline.embedding_head(head)
        compared = config.heads[name].reads
        for stream in streams or ():
            if stream not in compared:
                raise ConfigError(f"Head '{name}' does not compare '{stream}'. {choice(stream, compared)}")
        header = Header(
            pipeline=pipeline.fingerprint(),
            run=str(run) if run is not None else None,
            head=name,
            streams=list(dict.fromkeys(streams or compared)),
            pictures=[str(config.column_of(each)) for each in config.streams if gives(config, each) == "pixels"],
        )
        blank = pipeline.embed({}, head=name)  # [1, width] of each source
        index = cls(Stored(header, [], {stream: blank[stream][:0] for stream in header.streams}))
        index.append(pipeline, samples, skipped=skipped)
        return index

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def ids(self) -> list[str]:
        return [line.id for line in self.lines]

    def append(self, pipeline: Pipeline, samples: Samples, *, skipped: list[DecodeError] | None = None) -> int:
        """Add samples; those without any of the index's streams are left out. How many were added.

        Raises:
            CheckpointError: the index was made with another pipeline. DecodeError: a sample cannot be read.
            DataError: an id comes twice, or no sample has any of the streams. The index is then as it was.
        """
        self.require(pipeline)
        blank = {stream: torch.zeros(part.shape[1]) for stream, part in self.vectors.items()}
        lines: list[Line] = []
        parts: dict[str, list[Tensor]] = {stream: [] for stream in blank}
        for each in pipeline.embed_each(samples, head=self.header.head, skipped=skipped):
            if blank.keys() & each.vectors.keys():
                lines.append(Line(id=each.id, values=storage.json_values(each.values)))
                for stream, own in parts.items():
                    own.append(each.vectors.get(stream, blank[stream]))
        if not lines:
            config = pipeline.config
            columns = [config.column_of(stream) for stream in blank if stream in config.streams]
            raise DataError(f"There is nothing to index: no readable sample has a value in {listed(columns)}")
        if (twice := storage.repeated([*self.ids, *(line.id for line in lines)])) is not None:
            raise DataError(
                f"The id '{twice}' comes twice: ids tell rows apart. Rename one, or delete the old row first"
            )
        grown = {stream: torch.cat([self.vectors[stream], torch.stack(own)]) for stream, own in parts.items()}
        self._become([*self.lines, *lines], grown)
        return len(lines)

    def delete(self, ids: Collection[str]) -> int:
        """Remove rows by id. How many that were.

        Raises:
            DataError: there is no such id. The index is then as it was.
        """
        gone = set(ids)
        if unknown := gone - set(self.ids):
            raise DataError(f"No row of this index, which has {len(self)}, is called {listed(sorted(unknown))}")
        kept = [place for place, line in enumerate(self.lines) if line.id not in gone]
        self._become([self.lines[place] for place in kept], {name: part[kept] for name, part in self.vectors.items()})
        return len(gone)

    def _become(self, lines: list[Line], vectors: dict[str, Tensor]) -> None:
        self.lines, self.vectors = lines, vectors
        self._searchers.clear()

    def search(
        self,
        pipeline: Pipeline,
        queries: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        k: int | None = None,
        within: str | None = None,
        backend: Backend = "auto",
    ) -> list[Hit]:
        """The `k` rows nearest to a query such as {"text": "a red heart"}, the nearest first; by default 10, or all.

        queries: values by stream. Several, in one mapping or in a list of them, are joined by reciprocal rank fusion.
        within: the stream that is searched; by default the only one, or the only one that no query is in.

        Raises:
            CheckpointError: the index was made with another pipeline.
            ConfigError: no such stream, or more results than rows. DecodeError: a query cannot be read.
            DataError: nothing to search.
        """
        self.require(pipeline)
        asked = [queries] if isinstance(queries, Mapping) else list(queries)
        vectors = embedded_queries(pipeline, asked, self.header.head)
        stream = within or self.default_stream({name for query in asked for name in query})
        return self.nearest(vectors, stream, k=k, backend=backend)

    def nearest(
        self, queries: Sequence[Tensor], within: str, *, k: int | None = None, backend: Backend = "auto"
    ) -> list[Hit]:
        """`search` by vectors [width] of length 1.

        Raises:
            ConfigError: no such stream, or more results than rows. DataError: nothing to search.
        """
        rows, exact, count = self._searcher(within, k, backend)
        return self._hits(rows, exact.best([query.float() for query in queries], count))

    def nearest_each(
        self, queries: Tensor, within: str, *, k: int | None = None, backend: Backend = "auto"
    ) -> list[list[Hit]]:
        """The nearest rows to each of many queries [n, width] of length 1: `nearest`, and far faster than one by one.

        Raises:
            ConfigError: no such stream, or more results than rows. DataError: nothing to search.
        """
        rows, exact, count = self._searcher(within, k, backend)
        return [self._hits(rows, found) for found in exact.best_of_each(queries.float(), count)]

    def _hits(self, rows: Tensor, found: Iterable[tuple[int, float]]) -> list[Hit]:
        lines = [(self.lines[rows[row]], score) for row, score in found]
        return [Hit(rank, line.id, score, line.values) for rank, (line, score) in enumerate(lines, start=1)]

    def _searcher(self, stream: str, k: int | None, backend: Backend) -> tuple[Tensor, Exact, int]:
        """The numbers of the rows that have the stream, a search among them, made once, and how many are wanted."""
        if stream not in self.vectors:
            raise ConfigError(f"The index does not hold the stream '{stream}'. {choice(stream, self.header.streams)}")
        key = (stream, backend)
        if key not in self._searchers:
            rows = self.vectors[stream].any(dim=1).nonzero()[:, 0]
            if not len(rows):
                raise DataError(f"No row of the index has '{stream}'" if self.lines else "The index is empty")
            ids = [self.lines[row].id for row in rows.tolist()]
            self._searchers[key] = rows, Exact(self.vectors[stream][rows], ids, backend)
        rows, exact = self._searchers[key]
        if k is not None and not 0 < k <= len(rows):
            raise ConfigError(f"{k} results of {len(rows)} rows with '{stream}' are wanted: ask for 1 to {len(rows)}")
        return rows, exact, k or min(10, len(rows))

    def default_stream(self, asked: Collection[str]) -> str:
        """What a search by these streams looks in: the only stream, or the only one that is not asked by.

        Raises:
            ConfigError: there are several.
        """
        streams = self.header.streams
        others = [stream for stream in streams if stream not in asked]
        for names in (streams, others):
            if len(names) == 1:
                return names[0]
        raise ConfigError(f"Say which stream is to be searched: the index holds {listed(streams)}")

    def require(self, pipeline: Pipeline) -> None:
        """Look, once, whether the index was made with this pipeline.

        Raises:
            CheckpointError: with another one.
        """
        if pipeline in self._known:
            return
        if pipeline.fingerprint() != self.header.pipeline:
            made_with = f", {self.header.run}" if self.header.run else ""
            raise CheckpointError(
                f"The index was made with another pipeline{made_with}: vectors of two models cannot be compared. Take "
                "the run that made it, or index the data anew"
            )
        self._known.add(pipeline)

    def save(self, folder: str | Path) -> Path:
        """Write the index as a folder, which is whole or as it was whenever the process dies.

        Raises:
            CheckpointError: something else stands there, or it cannot be written.
        """
        return storage.save(Stored(self.header, self.lines, self.vectors), Path(folder))

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Open what `save` wrote.

        Raises:
            CheckpointError: it is no index, or damaged.
        """
        return cls(storage.load(Path(folder)))
