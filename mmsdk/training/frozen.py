"""Weights that no stage of a run trains: they are written once, not into each checkpoint."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_model
from torch import nn

from mmsdk.folders import verify_folder, write_folder
from mmsdk.pipeline.pipeline import Pipeline
from mmsdk.pipeline.saving import WEIGHTS, load_weights


class Frozen:
    """The folder with them; there is none where all weights are trained, or processes hold shares of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, pipeline: Pipeline, trained: Collection[str]) -> None:
        """Keep the parameters that are not among those. Buffers are not kept here: these change as they like.

        Raises:
            UnwritableError: it cannot be written.
        """
        kept = {id(each) for name, each in pipeline.named_parameters() if name not in trained}
        both = pipeline.named_parameters(remove_duplicate=False)  # what is tied has several names
        names = {name for name, each in both if id(each) in kept}
        if names:
            write_folder(self.folder, lambda aside: save_weights(pipeline, aside / WEIGHTS, only=names))

    def verify(self) -> None:
        """Compare it with its manifest.

        Raises:
            CheckpointError: it is damaged.
        """
        if self.folder.exists():
            verify_folder(self.folder)

    def load(self, pipeline: Pipeline) -> None:
        """Fill in what is here, once it is verified.

        Raises:
            CheckpointError: it is of another pipeline.
        """
        names = self.names()
        if names:
            load_weights(pipeline, self.folder / WEIGHTS, elsewhere=pipeline.state_dict().keys() - names)

    def names(self) -> set[str]:
        """What the weights are called that checkpoints leave out."""
        if not self.folder.is_dir():
            return set()
        with safe_open(self.folder / WEIGHTS, "pt") as file:
            return {*file.keys(), *(file.metadata() or {})}


def save_weights(pipeline: Pipeline, path: Path, *, only: Collection[str]) -> None:
    """Write those weights whose names are given."""
    save_model(_Some(pipeline, only), str(path))


class _Some(nn.Module):
    """A module of which a part is to be saved. (safetensors looks for tied weights, but takes modules only.)"""

    def __init__(self, whole: nn.Module, names: Collection[str]) -> None:
        super().__init__()
        self._state = {name: each for name, each in whole.state_dict().items() if name in names}

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        return dict(self._state)
