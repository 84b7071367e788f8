"""Checkpoints of a run: `step-00000042/` folders that survive a kill at any instant.

A checkpoint holds weights, the optimizer's moments and a position; no random state and no loader state, because the
order of samples and all randomness are functions of (seed, position). Weights that no stage trains stand beside them
once, in `frozen/`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import ConfigDict, TypeAdapter, ValidationError
from torch.distributed.tensor import DTensor

from mmsdk.errors import CheckpointError
from mmsdk.fields import first_problem
from mmsdk.folders import load_tree, read_json, save_tree, verify_folder, write_folder, writing
from mmsdk.pipeline.pipeline import Pipeline
from mmsdk.pipeline.saving import WEIGHTS, load_weights
from mmsdk.training.frozen import Frozen, save_weights
from mmsdk.training.shards import MODEL, SHARDS, in_shares, load_shards, names_in


@dataclass
class Position:
    """Where a run stands, after `total` optimizer steps.

    stage, step: the next step to take. best: value of the best epoch of this stage so far; best_total: the `total` of
    its checkpoint; waited: epochs since then. log_bytes: how long the log was. seconds, samples: spent so far.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    stage: int = 0
    step: int = 0
    total: int = 0
    best: float | None = None
    best_total: int | None = None
    waited: int = 0
    log_bytes: int = 0
    seconds: float = 0.0
    samples: int = 0
    sums: dict[str, list[float]] = field(default_factory=dict)
    """Losses of the epoch so far: per head the sum and the count."""
    balance: dict[str, Any] = field(default_factory=dict)
    """What `training.balance` has to keep."""
    scaler: dict[str, int | float] = field(default_factory=dict)
    """How far float16 gradients are scaled; empty in other precisions."""
    micro_batch: int | None = None
    """How many values encoders take at a time, where the memory had run out; see `Memory`."""
    not_finite: int = 0
    """Steps in a row that were skipped, or times that the run went back to the last checkpoint; see `NotFinite`."""


POSITION = TypeAdapter(Position)


class Checkpoints:
    """The checkpoints in one folder: the newest `keep`, and the best of each of these."""

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.keep, self.frozen = folder, keep, Frozen(folder / "frozen")

    def path(self, total: int) -> Path:
        return self.folder / f"step-{total:08d}"

    def save(self, pipeline: Pipeline, optimizer: Mapping[str, Any] | None, position: Position) -> None:
        """Write one of a pipeline that this process has all of, as `put` does.

        Raises:
            CheckpointError: weights are not finite. UnwritableError: see `put`.
        """
        frozen = self.frozen.names()
        require_finite(pipeline, self.path(position.total), but=frozen)

        def write(aside: Path) -> None:
            save_weights(pipeline, aside / WEIGHTS, only=pipeline.state_dict().keys() - frozen)
            save_tree(_plain(optimizer) if optimizer is not None else {}, aside / "optimizer")

        self.put(write, position)

    def put(self, write: Callable[[Path], None], position: Position) -> None:
        """Have weights and moments written, verify the checkpoint, and only then delete what is no longer kept.

        Raises:
            UnwritableError: it cannot be written; the ones before it are intact.
        """

        def fill(aside: Path) -> None:
            write(aside)
            (aside / "position.json").write_text(json.dumps(asdict(position)))

        written = write_folder(self.path(position.total), fill)
        verify_folder(written)
        earlier = [path for path in self._all() if path <= written]  # what a run that was resumed left is stale
        newest = earlier[-self.keep :]
        kept = {*newest, *map(self._best_for, newest)}
        with writing(self.folder):
            for path in self._all():
                if path not in kept:
                    shutil.rmtree(path)

    def newest(self, damaged: Callable[[CheckpointError], None] = lambda error: None) -> Path | None:
        """The newest checkpoint that is whole; `damaged` is told of those that are passed over.

        There is none where what they have in common is damaged.
        """
        for path in reversed(self._all()):
            try:
                self.frozen.verify()
                verify_folder(path)
            except CheckpointError as error:
                damaged(error)
                continue
            return path
        return None

    def position(self, path: Path) -> Position:
        try:
            return POSITION.validate_python(read_json(path / "position.json"))
        except ValidationError as error:
            raise CheckpointError(f"{path / 'position.json'}: damaged: {first_problem(error)}") from None

    def load(self, pipeline: Pipeline, path: Path) -> None:
        """Fill a pipeline that knows nothing yet: from a checkpoint, and with what no stage trains."""
        self.frozen.load(pipeline)
        self.load_weights(pipeline, path)

    def load_weights(self, pipeline: Pipeline, path: Path) -> None:
        """Fill a pipeline, of which this process may hold a share, from a checkpoint, which may be one of shares.

        What no stage trains stays as it is.
        """
        verify_folder(path)
        if not (path / SHARDS).is_dir() and not in_shares(pipeline):
            load_weights(pipeline, path / WEIGHTS, elsewhere=self.frozen.names())
        else:
            folder, prefix = (path / SHARDS, MODEL) if (path / SHARDS).is_dir() else (path, "")
            there = names_in(folder)  # where weights are tied, a file may hold them under one of their names
            state = {prefix + name: each for name, each in pipeline.state_dict().items()}
            load_shards({name: each for name, each in state.items() if name in there}, folder)
        require_finite(pipeline, path)

    def load_optimizer(self, path: Path) -> dict[str, Any]:
        """The saved state, by the number of the parameter; see `restored`. Of a checkpoint that is not of shares."""
        tree: dict[str, Any] = load_tree(path / "optimizer")
        return tree

    def _best_for(self, path: Path) -> Path | None:
        """The checkpoint that a run which goes on from `path` may have to go back to."""
        with suppress(CheckpointError):  # of one that is damaged, the best is of no use either
            best = self.position(path).best_total
            return self.path(best) if best is not None else None
        return None

    def _all(self) -> list[Path]:
        return sorted(self.folder.glob("step-*")) if self.folder.is_dir() else []


def require_finite(pipeline: Pipeline, path: Path, but: Collection[str] = ()) -> None:
    """Of a pipeline that processes hold shares of, each looks at its own. but: names that are not looked at.

    Raises:
        CheckpointError: a weight is not finite.
    """
    for name, parameter in pipeline.named_parameters():
        if name in but:
            continue
        own = parameter.to_local() if isinstance(parameter, DTensor) else parameter
        if not torch.isfinite(own).all():
            raise CheckpointError(f"{path}: weights that are not finite, such as '{name}', are not gone on with")


def _plain(optimizer: Mapping[str, Any]) -> dict[str, Any]:
    """An optimizer's state_dict without its groups: those follow from the config."""
    return {"state": {str(number): state for number, state in optimizer["state"].items()}}


def restored(fresh: Mapping[str, Any], saved: Mapping[str, Any]) -> dict[str, Any]:
    """The state_dict of a fresh optimizer, with the saved state of its parameters."""
    state = {int(number): values for number, values in saved.get("state", {}).items()}
    return {"state": state, "param_groups": fresh["param_groups"]}
