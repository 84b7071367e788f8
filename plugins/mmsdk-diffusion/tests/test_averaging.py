"""The running average of weights."""

from __future__ import annotations

import torch
from torch import nn

import mmsdk

from .conftest import ROWS, built, drawer


def _network() -> nn.Module:
    from mmsdk_diffusion.averaging import Average

    network = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3))
    average = Average(network, 0.9)
    assert not list(average.parameters())
    assert {name for name, _ in average.network.named_buffers()} == {name for name, _ in network.named_parameters()}
    return nn.ModuleList([network, average])


def test_it_follows_the_weights_and_smoothes_them() -> None:
    network, average = _network()
    with torch.no_grad():
        network[0].weight.fill_(1.0)
    average.update(network)  # the first update takes nine tenths of the new weights
    before = dict(average.network.named_buffers())["0.weight"].clone()
    with torch.no_grad():
        network[0].weight.fill_(0.0)
    for _ in range(100):
        average.update(network)
    with torch.no_grad():
        network[0].weight.fill_(1.0)
    average.update(network)
    torch.testing.assert_close(
        dict(average.network.named_buffers())["0.weight"], torch.full((3, 2), 0.1), atol=1e-3, rtol=0
    )
    assert before.min() > 0.8


def test_training_moves_it_and_drawing_uses_it() -> None:
    pipeline = built()
    head, rows = drawer(pipeline), [mmsdk.Row(str(row["id"]), row) for row in ROWS]
    before = pipeline.predict(rows)[0]["drawn"].value.tobytes()
    with torch.no_grad():
        for weights in head.network.parameters():
            weights.add_(1.0)
    assert pipeline.predict(rows)[0]["drawn"].value.tobytes() == before
    head.train().average.update(head.network)
    assert pipeline.predict(rows)[0]["drawn"].value.tobytes() != before


def test_measuring_does_not_move_it(pipeline: mmsdk.Pipeline) -> None:
    before = drawer(pipeline).average.get_buffer("updates").clone()
    figures = [mmsdk.evaluate(pipeline, {"valid": ROWS}) for _ in range(2)]
    assert figures[0] == figures[1] and figures[0]["valid/drawn/noise_error"] > 0
    assert torch.equal(drawer(pipeline).average.get_buffer("updates"), before)
