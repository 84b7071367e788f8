"""What several processes share: rows with gradients, metrics, and the end when one of them dies."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from mmsdk.errors import TrainingError

SECONDS = 5.0
"""How long a process that is about to end may take, once its connection is gone."""


class _Gather(torch.autograd.Function):
    """All processes' rows; the gradient of a row comes back to its process, summed over all that used it."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, tensor.contiguous())
        ctx.rows = tensor.shape[0]
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        gradient = gradients[0].contiguous()
        dist.all_reduce(gradient)
        start = dist.get_rank() * ctx.rows
        return gradient[start : start + ctx.rows]


def gather(tensor: Tensor) -> Tensor:
    """[rows, ...] -> [processes * rows, ...], in the order of the processes, with gradients. Shapes must be equal."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return tensor
    if tensor.dtype is torch.bool:
        return gather(tensor.to(torch.uint8)).bool()
    gathered: Tensor = _Gather.apply(tensor)
    return gathered


class Peer(NamedTuple):
    """One of the processes that train together."""

    rank: int
    host: str
    pid: int

    def ended(self) -> bool:
        """Whether it is gone; of other machines nobody knows. A zombie is gone, too."""
        if self.host != socket.gethostname():
            return False
        try:
            os.kill(self.pid, 0)
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except ProcessLookupError:
            return True
        except OSError:  # it is somebody else's, or there is no /proc: it is there
            return False


@contextmanager
def together(run: Path, rank: int, processes: int, gather: Callable[[list[Any]], list[Any]]) -> Iterator[None]:
    """Where one process dies, the others learn of it by a broken connection: they end, and say which one it was.

    Raises:
        TrainingError: instead of the error that the others meet.
    """
    peers = gather([Peer(rank, socket.gethostname(), os.getpid())]) if processes > 1 else []
    try:
        yield
    except RuntimeError as error:
        gone = _ended([peer for peer in peers if peer.rank != rank])
        if not gone:
            raise
        reason = str(error).partition("\n")[0]
        who = ", ".join(f"{peer.rank} (pid {peer.pid} on {peer.host})" for peer in gone)
        raise TrainingError(
            f"{run}: process {who} of {processes} has ended, so process {rank} cannot go on ({reason}). Its own "
            "output may say why. The last checkpoint is intact: give the same command with --resume."
        ) from None


def _ended(peers: Sequence[Peer]) -> list[Peer]:
    until = time.monotonic() + SECONDS
    while peers and time.monotonic() < until:
        gone = [peer for peer in peers if peer.ended()]
        if gone:
            return gone
        time.sleep(0.05)
    return []
