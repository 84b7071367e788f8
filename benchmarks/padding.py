"""Ragged batches through the built-in transformer encoder: packed, padded to the longest, and of equal lengths."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.measuring import Result, interleaved
from mmsdk.builtin.encoders import transformer
from mmsdk.builtin.encoders.transformer import TransformerEncoder
from mmsdk.formats import Format

SEQUENCES, ROUNDS, SIGMA, WIDTH, LAYERS = 2000, 10, 0.8, 256, 4


class Kind(NamedTuple):
    """Sequences of a mean length, cut at a cap, in batches. goal: of packed to padded time."""

    mean: int
    cap: int
    batch: int
    goal: float


KINDS = {"text": Kind(34, 128, 16, 1 / 2.5), "audio": Kind(84, 512, 8, 1 / 1.5)}
Batches = Sequence[Sequence[int]]


def run(quick: bool) -> list[Result]:
    torch.set_num_threads(1)
    found = []
    for name, kind in KINDS.items():
        torch.manual_seed(0)
        encoder = TransformerEncoder(Format("sequence", width=WIDTH), width=WIDTH, layers=LAYERS, heads=4, dropout=0.0)
        rounds = 1 if quick else ROUNDS
        lengths = _lengths(kind, 4 * kind.batch if quick else SEQUENCES)
        parts = np.array_split(lengths[: len(lengths) // kind.batch * kind.batch], rounds)
        turns = {side: iter(parts) for side in ("packed", "padded", "equal")}

        def side(which: str, turns: Any = turns, encoder: nn.Module = encoder, kind: Kind = kind) -> float:
            own = next(turns[which])
            batches = [own[start : start + kind.batch].tolist() for start in range(0, len(own), kind.batch)]
            if which == "equal":
                batches = [[round(float(own.mean()))] * kind.batch] * len(batches)
            return _seconds(encoder, batches, packed=which != "padded")

        seconds = interleaved({which: partial(side, which) for which in turns}, rounds)
        equal = _equal(encoder, parts[0][: kind.batch].tolist())
        note = f"{len(lengths)} sequences, mean {lengths.mean():.0f}, longest {lengths.max()}, {kind.batch} a batch"
        for other, goal in (("padded", kind.goal), ("equal", 1 / 0.9)):
            title = f"padding, {name}: packed / {'padded to the longest' if other == 'padded' else 'equal lengths'}"
            found.append(Result.of(title, seconds["packed"], seconds[other], goal=goal, equal=equal, note=note))
    return found


def _lengths(kind: Kind, count: int) -> Any:
    """Log-normal, with the mean before they are cut."""
    drawn = np.random.default_rng(0).lognormal(np.log(kind.mean) - SIGMA**2 / 2, SIGMA, size=count)
    return drawn.round().clip(1, kind.cap).astype(int)


def _seconds(encoder: nn.Module, batches: Batches, packed: bool) -> float:
    """Processor time per real token, forward and backward."""
    inputs = [_inputs(lengths) for lengths in batches]
    start = time.process_time()
    _without_packing(packed, lambda: [_step(encoder, each) for each in inputs])
    return (time.process_time() - start) / sum(map(sum, batches))


def _without_packing(packed: bool, body: Callable[[], Any]) -> Any:
    if packed:
        return body()
    with mock.patch.object(transformer, "packing", lambda mask, width: None):
        return body()


def _inputs(lengths: Sequence[int]) -> dict[str, Tensor]:
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    values = torch.randn(*mask.shape, WIDTH, generator=torch.Generator().manual_seed(0))
    return {"values": values.masked_fill(~mask[..., None], 0), "mask": mask}


def _step(encoder: nn.Module, inputs: dict[str, Tensor]) -> None:
    encoder.zero_grad()
    encoder(inputs).pooled.square().sum().backward()


def _equal(encoder: nn.Module, lengths: Sequence[int]) -> bool:
    """Whether outputs and gradients are those of padded batches, to 1e-5."""
    found = []
    for packed in (True, False):
        _without_packing(packed, lambda: _step(encoder, _inputs(lengths)))
        gradients = [each.grad.clone() for each in encoder.parameters() if each.grad is not None]
        encoding = _without_packing(packed, lambda: encoder(_inputs(lengths)))
        found.append((encoding.tokens, encoding.pooled, *gradients))
    return all(
        bool((one - other).abs().max() <= 1e-5 * max(1.0, float(other.abs().max())))
        for one, other in zip(*found, strict=True)
    )
