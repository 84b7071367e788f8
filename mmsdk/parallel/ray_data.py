"""Ray Data as the engine of parts: its workers take them, on one machine or on a cluster with a shared file system."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mmsdk.data.pieces import Piece, Pieces
from mmsdk.errors import ConfigError, MmsdkError
from mmsdk.parallel.parts import Make, Parts, Told, made


class _Worker:
    """Opens what it needs once, and makes parts. An error of ours is an answer, for Ray would wrap it."""

    def __init__(self, begin: Callable[[], Make[Any]], source: Path, folder: Path) -> None:
        self.folder = folder
        self.make, self.error = None, ""
        try:
            self.source, self.make = Pieces(source), begin()
        except MmsdkError as error:
            self.error = str(error)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[str]]:
        return {"answer": [json.dumps(self._answer(Piece(*json.loads(piece)))) for piece in batch["piece"]]}

    def _answer(self, piece: Piece) -> dict[str, Any]:
        if self.make is None:
            return {"error": self.error}
        try:
            name, told = made(self.source, self.folder, piece, self.make)
        except MmsdkError as error:
            return {"error": str(error)}
        return {"row": piece.row, "name": name, "told": told}


def work_on_ray(parts: Parts, begin: Callable[[], Make[Told]], tell: Callable[[Told], None]) -> None:
    """`parts.work`, by workers of Ray: as many as the cluster has processors, each with what `begin` gives it.

    Joins the cluster that RAY_ADDRESS names, or starts Ray on this machine.

    Raises:
        ConfigError: Ray is not there, or other processes work here as well. MmsdkError: a part cannot be made.
    """
    if parts.team.processes > 1:
        raise ConfigError("--engine ray starts processes of its own: leave torchrun out")
    ray = _ray()
    pieces = [json.dumps(piece) for piece in parts.source.cut(parts.each)]
    started = not ray.is_initialized()
    if started:
        try:
            where = os.environ.get("RAY_ADDRESS") or "local"  # by itself Ray would join any cluster that it finds
            ray.init(where, include_dashboard=False, logging_level=logging.ERROR)
        except (ConnectionError, RuntimeError) as error:
            raise ConfigError(f"Ray does not start, or is not at {os.environ.get('RAY_ADDRESS')}: {error}") from None
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        workers = min(len(pieces), max(1, math.floor(ray.cluster_resources().get("CPU", 1))))
        answers = ray.data.from_items(
            [{"piece": piece} for piece in pieces], override_num_blocks=len(pieces)
        ).map_batches(
            _Worker,
            fn_constructor_args=(begin, parts.source.path.absolute(), parts.folder.absolute()),
            batch_size=1,
            num_cpus=1,
            compute=ray.data.ActorPoolStrategy(size=workers),
        )
        names: dict[int, str] = {}
        for row in answers.iter_rows():
            answer = json.loads(row["answer"])
            if "error" in answer:
                raise MmsdkError(answer["error"])
            names[answer["row"]] = answer["name"]
            if answer["told"] is not None:
                tell(answer["told"])
    finally:
        if started:
            ray.shutdown()
    parts.done = [parts.folder / names[row] for row in sorted(names)]


def _ray() -> Any:
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ConfigError(f"'{error.name}' is not installed: pip install 'mmsdk[ray]'") from None
    return ray
