"""XOR of two streams: the smallest thing that two streams tell together and neither alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mmsdk.components import FusionConfig
from mmsdk.containers import Encoding
from mmsdk.formats import Source


def accuracy(
    config: FusionConfig, sources: Mapping[str, Source], pair: tuple[str, str], learning_rate: float, steps: int
) -> float:
    """The share that a fusion with a linear layer behind it gets right after some steps of 64 samples."""
    torch.manual_seed(0)
    fusion: Any = config.build(sources)
    head = nn.Linear(fusion.pooled_width, 2)
    optimizer = torch.optim.AdamW([*fusion.parameters(), *head.parameters()], lr=learning_rate)
    generator = torch.Generator().manual_seed(0)

    def batch(size: int) -> tuple[Tensor, Tensor]:
        bits = torch.randint(0, 2, (size, 2), generator=generator)
        streams = {}
        for name, source in sources.items():
            there = name in pair or config.absence == "unsupported"
            sign = 2.0 * bits[:, pair.index(name), None] - 1 if name in pair else torch.zeros(size, 1)
            tokens, pooled = (
                there * (sign + 0.3 * torch.randn(size, width, generator=generator))
                for width in (source.width, source.pooled_width)
            )
            streams[name] = Encoding(tokens[:, None], torch.full((size, 1), there), pooled)
        scores: Tensor = head(fusion(streams).encoding.pooled)
        return scores, bits.sum(dim=1) % 2

    fusion.train()
    for _ in range(steps):
        scores, truth = batch(64)
        loss = nn.functional.cross_entropy(scores, truth)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    fusion.eval()
    with torch.no_grad():
        scores, truth = batch(512)
    return float((scores.argmax(dim=1) == truth).float().mean())
