"""What networks are asked for, and noise for measurements."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mmsdk_diffusion.noising import FixedNoise, Noising


@pytest.mark.parametrize("prediction", ["epsilon", "v", "sample", "flow"])
def test_what_is_told_and_what_is_seen_give_the_picture_back(prediction: Any) -> None:
    pictures, noise, where = torch.randn(5, 3, 2, 2), torch.randn(5, 3, 2, 2), torch.tensor([0.0, 0.2, 0.5, 0.8, 0.9])
    noisy, times, told = Noising(prediction)(pictures, noise, where)
    if prediction == "flow":
        back = noisy - (times / 1000).view(-1, 1, 1, 1) * told
    else:
        share = Noising(prediction).schedule.alphas_cumprod[times].view(-1, 1, 1, 1)
        backs = {
            "epsilon": (noisy - (1 - share).sqrt() * told) / share.sqrt(),
            "v": share.sqrt() * noisy - (1 - share).sqrt() * told,
            "sample": told,
        }
        back = backs[prediction]
    torch.testing.assert_close(back, pictures, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("prediction", ["epsilon", "flow"])
def test_it_begins_with_the_picture_and_ends_in_noise(prediction: Any) -> None:
    pictures, noise = torch.ones(2, 3, 2, 2), torch.full((2, 3, 2, 2), -1.0)
    noisy, _, _ = Noising(prediction)(pictures, noise, torch.tensor([0.0, 0.9999]))
    assert (noisy[0] > 0.95).all() and (noisy[1] < -0.95).all()


def test_a_picture_has_its_own_noise_wherever_it_stands() -> None:
    fixed, pictures = FixedNoise((4, 4)), torch.rand(200, 3, 4, 4).mul(255).round() / 127.5 - 1
    noise, where = fixed(pictures)
    assert ((where > 0) & (where < 1)).all() and len(where.unique()) > 40
    order = torch.randperm(200)
    again, there = FixedNoise((4, 4))(pictures[order])
    assert torch.equal(again, noise[order]) and torch.equal(there, where[order])


def test_errors_count_more_where_most_can_be_seen_of_the_picture_to_be_told() -> None:
    weights = Noising("sample").weights(torch.tensor([0, 100, 350, 700, 999]))
    assert isinstance(weights, torch.Tensor) and weights[:2].tolist() == [5, 5] and weights[3:].tolist() == [1, 1]
    assert 1 < weights[2] < 5
    assert Noising("flow").weights(torch.tensor([500])) == 1
