"""Two processes that wait for work: gradients of two halves of a batch, added up over gloo.

They are started once and serve all tests, since starting them takes seconds and each test some milliseconds.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor

from mmsdk.testing.trees import tensors

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from mmsdk.testing.network import NetworkContract

PATIENCE = 60
"""Seconds after which a process that waits for the other one gives up."""


def gradients_of_two(contract: NetworkContract, state: Mapping[str, Tensor], halves: list[Any]) -> dict[str, Tensor]:
    """The gradients of the sum of both halves' objectives, each half in a process of its own.

    Skips the test where the component's module cannot be imported there, such as one inside a test file.
    """
    home = next(base for base in type(contract).__mro__ if base.__module__.startswith("mmsdk.testing."))
    answers: list[Any] = []
    pair = _pair()
    for connection, half in zip(pair, halves, strict=True):
        connection.send((home, contract.config, contract.arguments(), dict(state), half))
    for connection in pair:
        if not connection.poll(2 * PATIENCE):
            _pair.cache_clear()
            pytest.fail("a process waits for ever: each of them has to do the same number of exchanges")
        answers.append(connection.recv())
    if "cannot import" in answers:
        pytest.skip(f"{type(contract.config).__module__} cannot be imported in another process")
    failures = [answer for answer in answers if isinstance(answer, str)]
    if failures:
        _pair.cache_clear()
        pytest.fail(f"a process of two fails: {failures[0]}")
    return {name: torch.tensor(gradient) for name, gradient in answers[0].items()}


@cache
def _pair() -> list[Connection]:
    """Connections to two fresh processes, which end with this one."""
    context = multiprocessing.get_context("spawn")
    folder, connections = tempfile.mkdtemp(), []
    for rank in (0, 1):
        here, there = context.Pipe()
        context.Process(target=_serve, args=(there, str(Path(folder, "store")), rank), daemon=True).start()
        connections.append(here)
    return connections


def _serve(connection: Connection, store: str, rank: int) -> None:
    torch.set_num_threads(1)
    wait = timedelta(seconds=PATIENCE)
    torch.distributed.init_process_group("gloo", f"file://{store}", rank=rank, world_size=2, timeout=wait)
    while True:
        try:
            work = connection.recv()
        except EOFError:
            return
        except (ImportError, AttributeError):
            connection.send("cannot import")
            continue
        try:
            connection.send(_gradients(rank, *work))
        except Exception as error:
            connection.send(f"{type(error).__name__}: {error}")


def _gradients(
    rank: int, home: type[NetworkContract], config: Any, arguments: tuple[Any, ...], state: Any, half: Any
) -> dict[str, Any]:
    """The gradients of this half, added to those of the other process, as `train` does."""
    module = config.build(*arguments).eval()
    module.load_state_dict(state)
    size = len(next(tensor for _, tensor in tensors(half)))
    home.objective(home.call(module, half), rank * size).backward()  # type: ignore[no-untyped-call]
    found = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            torch.distributed.all_reduce(gradient)
            found[name] = gradient.numpy()
    return found
