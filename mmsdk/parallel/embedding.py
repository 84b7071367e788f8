"""The embeddings of a file's rows as a folder, made by one process or several."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from mmsdk.cache.ports import Say, silent
from mmsdk.cache.reading import Caches, Which
from mmsdk.data.embedding_folder import EmbeddingFiles
from mmsdk.data.samples import Row
from mmsdk.data.skipping import as_told, require_few
from mmsdk.errors import CheckpointError, DecodeError
from mmsdk.folders import write_folder
from mmsdk.parallel.parts import Parts
from mmsdk.parallel.ray_data import work_on_ray
from mmsdk.parallel.team import Team
from mmsdk.pipeline.prediction import Precision

if TYPE_CHECKING:
    from torch import Tensor

    from mmsdk.pipeline.pipeline import Pipeline

Bad = dict[str, str | None]
"""A sample that cannot be read, see `as_told`."""


class PartEmbedding:
    """Embeds a part; tells which of its rows cannot be read, if they are to be left out.

    The part is a safetensors file: of each source the vectors [rows, width], zeros where it is absent.
    """

    def __init__(self, pipeline: Pipeline, head: str, skip: bool, cache: Which) -> None:
        self.pipeline, self.head, self.skip = pipeline, head, skip
        self.caches = Caches(pipeline, [head], cache, files=False)  # each row is read once
        self.widths = {source: each.shape[1] for source, each in pipeline.embed({}, head=head).items()}

    def __call__(self, part: Path, first: int, rows: Sequence[Row]) -> list[Bad]:
        bad: list[DecodeError] | None = [] if self.skip else None
        ids: list[str] = []
        found = {source: torch.zeros(len(rows), width) for source, width in self.widths.items()}
        with self.caches(lambda: rows):
            for each in self.pipeline.embed_each(rows, head=self.head, skipped=bad):
                for source, vector in each.vectors.items():
                    found[source][len(ids)] = vector
                ids.append(each.id)
        told = [as_told(error) for error in bad or ()]
        save_file(found, part, {"ids": json.dumps(ids), "bad": json.dumps(told)})
        return told

    @classmethod
    def open(cls, run: Path, precision: Precision, head: str, skip: bool, cache: Which) -> PartEmbedding:
        from mmsdk.export.run_export import open_with

        return cls(open_with(run, precision=precision), head, skip, cache)


def write_embeddings(
    pipeline: Pipeline,
    data: Path,
    folder: Path,
    team: Team,
    *,
    head: str | None = None,
    skip: bool = False,
    resume: bool = False,
    cache: Which = "known",
    on_ray: Path | None = None,
    say: Say = silent,
) -> tuple[EmbeddingFiles, list[DecodeError]] | None:
    """Embed every row of a file or of shards, in constant memory; what was written, and the samples left out.

    In the first process of the team; the others get nothing. skip: leave out samples that cannot be read, as many as
    `require_few` lets, instead of raising. resume: go on with what an earlier call did not finish. cache: whose
    encodings are read and kept. on_ray: where workers of Ray open the pipeline, if they are to do the work. say: is
    told what the first process found of encodings.

    Raises:
        CheckpointError: there is something at `folder`, or it cannot be written.
        ConfigError: no such head, or several; or see `Parts`. DataError, DecodeError: a sample cannot be read.
    """
    if folder.exists():
        raise CheckpointError(f"{folder} exists: choose another --out, or remove it")
    head = pipeline.embedding_head(head)
    made_with = {"pipeline": pipeline.fingerprint(), "head": head}
    make = PartEmbedding(pipeline, head, skip, cache)
    parts = Parts(data, folder, made_with | {"precision": pipeline.precision}, team, resume=resume)

    def tell(bad: list[Bad]) -> None:
        if bad:
            require_few(team.total("left out", len(bad)), parts.count, _error(bad[-1]))

    if on_ray is not None:
        work_on_ray(parts, partial(PartEmbedding.open, on_ray, pipeline.precision, head, skip, cache), tell)
    else:
        parts.work(make, tell)
    written = None
    if team.rank == 0:
        left_out: list[DecodeError] = []
        files: list[EmbeddingFiles] = []

        def fill(aside: Path) -> None:
            with EmbeddingFiles(aside, make.widths) as opened:
                for name, vectors in _read(parts.done, left_out):
                    opened.add(name, vectors)
                opened.finish(made_with | {"data": str(data.absolute())}, left_out)
            files.append(opened)

        write_folder(folder, fill)
        parts.remove()
        for line in make.caches.told():
            say(line)
        written = files[0], left_out
    team.meet("the end")
    return written


def _read(parts: Sequence[Path], bad: list[DecodeError]) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """The id and the vectors of each row, a part at a time; those that were left out are put on the list."""
    for part in parts:
        with safe_open(part, "pt") as file:
            told = file.metadata()
            vectors = {source: file.get_tensor(source) for source in file.keys()}  # noqa: SIM118
        bad += map(_error, json.loads(told["bad"]))
        present = {source: each.any(dim=1).tolist() for source, each in vectors.items()}
        for row, name in enumerate(json.loads(told["ids"])):
            yield name, {source: each[row] for source, each in vectors.items() if present[source][row]}


def _error(told: Bad) -> DecodeError:
    return DecodeError(told["reason"] or "", sample=told["id"], stream=told["stream"])
