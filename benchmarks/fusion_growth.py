"""How the time of a fusion grows from two streams to six of equal width: forward and backward, in one process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.measuring import Result, interleaved
from mmsdk.builtin.declarations.token_fusions import BottleneckConfig, PerceiverConfig, TransformerFusionConfig
from mmsdk.components import FusionConfig
from mmsdk.containers import Encoding
from mmsdk.formats import Source
from mmsdk.testing.transfer import carried

WIDTH, LENGTH, BATCH = 64, 32, 8
GOALS: list[tuple[FusionConfig, float | None]] = [
    (PerceiverConfig(width=WIDTH, dropout=0.0), 2.2),
    (BottleneckConfig(width=WIDTH, dropout=0.0), 3.2),
    (TransformerFusionConfig(width=WIDTH, dropout=0.0), None),
]


def run(quick: bool = False) -> list[Result]:
    """ours: six streams, theirs: two."""
    torch.set_num_threads(1)
    rounds, repeats = (2, 1) if quick else (40, 5)
    results = []
    for config, goal in GOALS:
        six, two = _built(config, 6), _built(config, 2)
        sides: dict[str, Callable[[], float]] = {
            "six": lambda fusion=six: _seconds(fusion, _streams(6), repeats),  # type: ignore[misc]
            "two": lambda fusion=two: _seconds(fusion, _streams(2), repeats),  # type: ignore[misc]
        }
        interleaved(sides, 1)  # the first round pays for what is made once
        found = interleaved(sides, rounds)
        note = f"{WIDTH} wide, {LENGTH} tokens per stream, batches of {BATCH}"
        equal = _equal(config, six)
        name = f"{config.type_name()}, 6 / 2 streams"
        results.append(Result.of(name, found["six"], found["two"], goal=goal, equal=equal, note=note))
    return results


def _sources(streams: int) -> dict[str, Source]:
    return {f"stream{number}": Source(WIDTH, WIDTH) for number in range(streams)}


def _built(config: FusionConfig, streams: int) -> Any:
    torch.manual_seed(0)
    return config.build(_sources(streams))


def _streams(count: int, present: int | None = None) -> dict[str, Encoding]:
    """present: how many of them are there, by default all."""
    generator = torch.Generator().manual_seed(0)
    found = {}
    for number, name in enumerate(_sources(count)):
        mask = torch.full((BATCH, LENGTH), number < (count if present is None else present))
        tokens = torch.randn(BATCH, LENGTH, WIDTH, generator=generator) * mask[..., None]
        found[name] = Encoding(tokens, mask, tokens.mean(dim=1))
    return found


def _seconds(fusion: Any, streams: dict[str, Encoding], repeats: int) -> float:
    begin = time.process_time()
    for _ in range(repeats):
        fusion.zero_grad()
        fusion(streams).encoding.pooled.sum().backward()
    return (time.process_time() - begin) / repeats


def _equal(config: FusionConfig, six: Any) -> bool:
    """Whether six streams of which two are there give what a fusion of two gives with the same weights."""
    state = dict(six.state_dict())
    for count in range(6, 2, -1):
        fewer = _built(config, count - 1).state_dict()
        cut = carried(state, fewer, _sources(count), f"stream{count - 1}")
        assert cut is not None
        state = cut
    two = _built(config, 2)
    two.load_state_dict(state)
    with torch.no_grad():
        one, other = six(_streams(6, present=2)).encoding.pooled, two(_streams(2)).encoding.pooled
    return torch.allclose(one, other, rtol=1e-4, atol=1e-5)
