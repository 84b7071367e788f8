"""Each built-in encoder learns a small task that needs what it is there for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmsdk.builtin.declarations.encoders import (
    BagEncoderConfig,
    CnnEncoderConfig,
    CnnRnnEncoderConfig,
    MlpEncoderConfig,
    RnnEncoderConfig,
    TransformerEncoderConfig,
    VitEncoderConfig,
)
from mmsdk.components import EncoderConfig
from mmsdk.formats import Format

Task = tuple[Format, dict[str, Tensor], Tensor]
ROWS = 256


def presence() -> Task:
    """Is id 2 among the tokens?"""
    ids = torch.randint(3, 9, (ROWS, 6))
    label = torch.arange(ROWS) % 2
    place = torch.randint(6, (ROWS, 1))
    ids.scatter_(1, place, torch.where(label[:, None] == 1, 2, ids.gather(1, place)))
    return Format("tokens", vocabulary=9), {"ids": ids, "mask": ids > 0}, label


def order() -> Task:
    """Does id 1 stand before id 2? Rows have different lengths."""
    rows = torch.arange(ROWS)
    lengths = torch.randint(3, 8, (ROWS,))
    mask = torch.arange(7) < lengths[:, None]
    places = (torch.rand(ROWS, 7) - 2 * mask.float()).argsort(dim=1)[:, :2]  # two different ones inside the row
    ids = torch.randint(3, 6, (ROWS, 7)) * mask
    ids[rows, places[:, 0]], ids[rows, places[:, 1]] = 1, 2
    return Format("tokens", vocabulary=6), {"ids": ids, "mask": mask}, (places[:, 0] < places[:, 1]).long()


def steps() -> Task:
    """Which of two peaks comes first? Numbers instead of ids."""
    format, inputs, label = order()
    values = F.one_hot(inputs["ids"], format.vocabulary).float()[..., 1:3]
    return Format("sequence", width=2), {"values": values, "mask": inputs["mask"]}, label


def quadrant() -> Task:
    """Which quadrant of the image is bright?"""
    label = torch.arange(ROWS) % 4
    pixels = torch.rand(ROWS, 3, 2, 8, 2, 8) * 0.5
    pixels[torch.arange(ROWS), :, label // 2, :, label % 2] += 0.5
    return Format("pixels", sizes=(16, 16)), {"pixels": pixels.flatten(4, 5).flatten(2, 3)}, label


def exclusive() -> Task:
    """Is the number positive, or the category 1, but not both?"""
    numbers, categories = torch.randn(ROWS, 1), torch.randint(2, (ROWS, 1))
    label = (numbers > 0).long().flatten() ^ categories.flatten()
    return Format("table", width=1, sizes=(2,)), {"numbers": numbers, "categories": categories}, label


@pytest.mark.parametrize(
    ("config", "task"),
    [
        (BagEncoderConfig(width=32), presence),
        (TransformerEncoderConfig(width=32, layers=1), order),
        (TransformerEncoderConfig(width=32, layers=1), steps),
        (RnnEncoderConfig(width=32), order),
        (RnnEncoderConfig(width=32, cell="lstm", bidirectional=False), steps),
        (CnnRnnEncoderConfig(width=32, stride=2, convolutions=1), order),
        (CnnRnnEncoderConfig(width=32), steps),
        (CnnEncoderConfig(width=32), quadrant),
        (VitEncoderConfig(width=32, patch=4, layers=1), quadrant),
        (MlpEncoderConfig(width=32, hidden=32), exclusive),
    ],
    ids=lambda value: value.type_name() if isinstance(value, EncoderConfig) else value.__name__,
)
def test_encoder_learns(config: EncoderConfig, task: Callable[[], Task]) -> None:
    torch.manual_seed(0)
    format, inputs, label = task()
    encoder = config.build(format)
    head = nn.Linear(encoder.pooled_width, 4)
    train, test = slice(0, ROWS // 2), slice(ROWS // 2, ROWS)
    optimizer = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], lr=1e-2)
    for _ in range(60):
        logits = head(encoder({key: part[train] for key, part in inputs.items()}).pooled)
        optimizer.zero_grad()
        F.cross_entropy(logits, label[train]).backward()
        optimizer.step()
    encoder.eval()
    logits = head(encoder({key: part[test] for key, part in inputs.items()}).pooled)
    accuracy = (logits.argmax(dim=1) == label[test]).float().mean().item()
    assert accuracy >= 0.9
