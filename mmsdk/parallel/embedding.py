"""The embeddings of a file's rows as a folder, made by one process or several."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
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
from mmsdk.parallel.team import Team

if TYPE_CHECKING:
    from torch import Tensor

    from mmsdk.pipeline.pipeline import Pipeline


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
    say: Say = silent,
) -> tuple[EmbeddingFiles, list[DecodeError]] | None:
    """Embed every row of a file or of shards, in constant memory; what was written, and the samples left out.

    In the first process of the team; the others get nothing. skip: leave out samples that cannot be read, as many as
    `require_few` lets, instead of raising. resume: go on with what an earlier call did not finish. cache: whose
    encodings are read and kept. say: is told what the first process found of them.

    Raises:
        CheckpointError: there is something at `folder`, or it cannot be written.
        ConfigError: no such head, or several; or see `Parts`. DataError, DecodeError: a sample cannot be read.
    """
    if folder.exists():
        raise CheckpointError(f"{folder} exists: choose another --out, or remove it")
    head = pipeline.embedding_head(head)
    widths = {source: vectors.shape[1] for source, vectors in pipeline.embed({}, head=head).items()}
    made_with = {"pipeline": pipeline.fingerprint(), "head": head}
    parts = Parts(data, folder, made_with, team, resume=resume)
    caches = Caches(pipeline, [head], cache, files=False)  # each row is read once

    def make(part: Path, first: int, rows: Sequence[Row]) -> None:
        bad: list[DecodeError] | None = [] if skip else None
        ids: list[str] = []
        found = {source: torch.zeros(len(rows), width) for source, width in widths.items()}
        with caches(lambda: rows):
            for each in pipeline.embed_each(rows, head=head, skipped=bad):
                for source, vector in each.vectors.items():
                    found[source][len(ids)] = vector
                ids.append(each.id)
        if bad:
            require_few(team.total("left out", len(bad)), parts.count, bad[-1])
        told = {"ids": json.dumps(ids), "bad": json.dumps([as_told(error) for error in bad or ()])}
        save_file(found, part, told)

    parts.work(make)
    written = None
    if team.rank == 0:
        bad: list[DecodeError] = []

        def fill(aside: Path) -> None:
            nonlocal written
            with EmbeddingFiles(aside, widths) as files:
                for name, vectors in _read(parts.done, bad):
                    files.add(name, vectors)
                files.finish(made_with | {"data": str(data.absolute())}, bad)
            written = files, bad

        write_folder(folder, fill)
        parts.remove()
        for line in caches.told():
            say(line)
    team.meet("the end")
    return written


def _read(parts: Sequence[Path], bad: list[DecodeError]) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """The id and the vectors of each row, a part at a time; those that were left out are put on the list."""
    for part in parts:
        with safe_open(part, "pt") as file:
            told = file.metadata()
            vectors = {source: file.get_tensor(source) for source in file.keys()}  # noqa: SIM118
        bad += [DecodeError(e["reason"], sample=e["id"], stream=e["stream"]) for e in json.loads(told["bad"])]
        present = {source: each.any(dim=1).tolist() for source, each in vectors.items()}
        for row, name in enumerate(json.loads(told["ids"])):
            yield name, {source: each[row] for source, each in vectors.items() if present[source][row]}
