"""Every feature-level fusion but the mean learns what only two streams together tell."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mmsdk.builtin.declarations.fusions import (
    ConcatConfig,
    CrossAttentionConfig,
    FiLMConfig,
    GatedConfig,
    MeanConfig,
    ProductConfig,
    TransformerFusionConfig,
)
from mmsdk.components import FusionConfig
from mmsdk.containers import Encoding
from mmsdk.formats import Source
from mmsdk.interfaces import FeatureFusion


def learned(config: FusionConfig, steps: int = 150) -> float:
    """Accuracy on XOR of two streams, each a noisy sign, after some steps with a linear head."""
    sources = {"left": Source(4, 4), "right": Source(4, 4)}
    torch.manual_seed(0)
    fusion = config.build(sources)
    assert isinstance(fusion, FeatureFusion)
    head = torch.nn.Linear(fusion.pooled_width, 2)
    rate = 3e-3 if config.contextual else 1e-2
    optimizer = torch.optim.AdamW([*fusion.parameters(), *head.parameters()], lr=rate)
    generator = torch.Generator().manual_seed(0)

    def batch(size: int) -> tuple[Tensor, Tensor]:
        bits = torch.randint(0, 2, (size, 2), generator=generator)
        streams = {}
        for place, name in enumerate(sources):
            vectors = (2.0 * bits[:, place, None] - 1) + 0.3 * torch.randn(size, 4, generator=generator)
            streams[name] = Encoding(vectors[:, None], torch.ones(size, 1, dtype=torch.bool), vectors)
        return head(fusion(streams).encoding.pooled), bits.sum(dim=1) % 2

    for _ in range(steps):
        scores, truth = batch(64)
        loss = torch.nn.functional.cross_entropy(scores, truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    scores, truth = batch(512)
    return float((scores.argmax(dim=1) == truth).float().mean())


@pytest.mark.parametrize(
    "config",
    [
        ConcatConfig(width=16),
        ProductConfig(width=16),
        GatedConfig(width=16),
        FiLMConfig(width=16),
        TransformerFusionConfig(width=16, layers=1, heads=2, dropout=0.0),
        CrossAttentionConfig(width=16, layers=1, heads=2, dropout=0.0),
    ],
    ids=lambda config: config.type_name(),
)
def test_learns_xor(config: FusionConfig) -> None:
    assert learned(config) >= 0.98


def test_the_mean_cannot_learn_xor() -> None:
    assert learned(MeanConfig(width=16)) <= 0.8
