"""Drawing: guidance, seeds, neighbours, and schedulers that come back to a picture that is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from mmsdk import Encoding
from mmsdk_diffusion.sampling import Sampling, draw, guided, without

SHAPE = (3, 2, 2)


def condition(*present: bool) -> Encoding:
    """A row that tells its number, for each that is present; zeros for others."""
    here = torch.tensor(present)
    tokens = (1.0 + torch.arange(len(present)))[:, None, None].expand(-1, 2, 4)
    whole = Encoding(tokens, torch.ones(len(present), 2, dtype=torch.bool), tokens[:, 0])
    return without(whole, ~here)


def network(noisy: Tensor, times: Tensor, given: Encoding) -> Tensor:
    """Some function of all that it is given."""
    return 0.3 * noisy + 0.1 * given.pooled.sum(dim=1)[:, None, None, None] + (times / 1000)[:, None, None, None]


def test_guidance_exaggerates_what_the_condition_changes() -> None:
    given, noisy, times = condition(True, True), torch.randn(2, *SHAPE), torch.full((2,), 500)
    conditional, unconditional = (network(noisy, times, each) for each in (given, condition(False, False)))
    for guidance in (-1, 0, 0.5, 3):
        found = guided(network, noisy, times, given, guidance)
        torch.testing.assert_close(found, unconditional + (1 + guidance) * (conditional - unconditional))


@pytest.mark.parametrize("guidance", [-1.0, 0.0, 2.0])
def test_a_row_without_condition_is_drawn_unconditionally(guidance: float) -> None:
    sampling = Sampling(scheduler="euler", steps=4, guidance=guidance)
    absent = draw(network, condition(False), SHAPE, "flow", sampling)
    ignored = draw(network, condition(True), SHAPE, "flow", replace(sampling, guidance=-1))
    torch.testing.assert_close(absent, ignored)
    asked = draw(network, condition(True), SHAPE, "flow", sampling)
    assert torch.allclose(asked, absent) == (guidance == -1)


@pytest.mark.parametrize(
    ("scheduler", "prediction"),
    [(each, told) for each in ("ddpm", "ddim", "dpm_solver") for told in ("epsilon", "v", "sample")]
    + [("euler", "flow")],
)
def test_a_network_that_knows_the_picture_leads_to_it(scheduler: Any, prediction: Any) -> None:
    """The network tells what is right for the picture `wanted`; whatever the noise was, that comes out."""
    from mmsdk_diffusion.noising import Noising

    wanted = torch.linspace(-0.9, 0.9, 12).view(1, *SHAPE)
    shares = Noising("v").schedule.alphas_cumprod

    def knows(noisy: Tensor, times: Tensor, given: Encoding) -> Tensor:
        if prediction == "flow":
            return (noisy - wanted) / (times / 1000).view(-1, 1, 1, 1)
        share = shares[times.long()].view(-1, 1, 1, 1)
        noise = (noisy - share.sqrt() * wanted) / (1 - share).sqrt()
        told = {"epsilon": noise, "sample": wanted.expand_as(noisy)}
        return told.get(prediction, share.sqrt() * noise - (1 - share).sqrt() * wanted)

    found = draw(knows, condition(True), SHAPE, prediction, Sampling(scheduler, steps=20, guidance=0, number=3))
    torch.testing.assert_close(found, wanted.expand(1, 3, *SHAPE), atol=0.05, rtol=0)


@pytest.mark.parametrize("scheduler", ["ddpm", "ddim", "dpm_solver"])
def test_a_picture_follows_from_its_condition_and_its_seed(scheduler: Any) -> None:
    sampling = Sampling(scheduler, steps=5, seed=7, number=3)
    both = draw(network, condition(True, True), SHAPE, "v", sampling)
    assert both.shape == (2, 3, *SHAPE)
    torch.testing.assert_close(draw(network, condition(True, True), SHAPE, "v", sampling), both, rtol=0, atol=0)
    alone = draw(network, condition(True), SHAPE, "v", sampling)
    torch.testing.assert_close(alone[0], both[0])
    third = draw(network, condition(True), SHAPE, "v", replace(sampling, seed=9, number=1))
    torch.testing.assert_close(third[0, 0], both[0, 2])
    assert not torch.allclose(both[0, 0], both[0, 1])
