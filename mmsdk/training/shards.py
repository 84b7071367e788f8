"""Tensors that processes hold in shares, as files: each writes what it holds, any number of them reads it again.

This is torch.distributed.checkpoint with its storage of safetensors: a file per process, whose header says of each
tensor which part of the whole it is. Its default storage is not used, for that one is read by unpickling.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed import is_initialized

from mmsdk.errors import CheckpointError, UnwritableError

SHARDS = "shards"
"""The folder within a checkpoint, and what begins the names of the tensors in it."""
MODEL, OPTIMIZER = "model.", "optimizer."


def save_shards(tensors: Mapping[str, Tensor], folder: Path) -> None:
    """Write what this process holds of the tensors. Called in all processes, which return when all are done.

    Raises:
        UnwritableError: a process cannot write.
    """
    from torch.distributed.checkpoint.api import CheckpointException
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
    from torch.distributed.checkpoint.state_dict_saver import save

    writer = HuggingFaceStorageWriter(str(folder), save_distributed=True)
    try:
        with _alone_or_not():
            save(dict(tensors), storage_writer=writer, no_dist=not is_initialized())
    except CheckpointException as error:
        raise UnwritableError(f"{folder}: cannot be written: {_first(error)}.") from None


def load_shards(tensors: Mapping[str, Tensor], folder: Path) -> None:
    """Fill the tensors, of which this process may hold a part, from what any number of processes has written.

    Raises:
        CheckpointError: a tensor is not there, or is another one.
    """
    from torch.distributed.checkpoint.api import CheckpointException
    from torch.distributed.checkpoint.state_dict_loader import load

    try:
        with _alone_or_not():
            load(dict(tensors), storage_reader=_reader(folder), no_dist=True)
    except (CheckpointException, RuntimeError, ValueError, AssertionError) as error:
        raise CheckpointError(f"{folder}: does not fit this pipeline: {_first(error)}") from None


def names_in(folder: Path) -> dict[str, torch.Size]:
    """What the tensors are called, and their whole shapes."""
    return {name: each.size for name, each in _reader(folder).read_metadata().state_dict_metadata.items()}


def in_shares(pipeline: nn.Module) -> bool:
    """Whether this process holds a share of the parameters."""
    return any(hasattr(parameter, "full_tensor") for parameter in pipeline.parameters())


def _reader(folder: Path) -> Any:
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader

    return HuggingFaceStorageReader(str(folder))


@contextmanager
def _alone_or_not() -> Iterator[None]:
    """Each process reads for itself, and one alone writes: torch warns of that."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled, unavailable or uninitialized")
        yield


def _first(error: BaseException) -> str:
    """Why, in a line: errors of several processes come with their tracebacks."""
    failures = list(getattr(error, "failures", {}).values())
    return str(failures[0][0] if failures else error)
