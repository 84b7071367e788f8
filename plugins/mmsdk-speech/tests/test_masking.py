"""SpecAugment: within its bounds, per row, from torch's generator, and in training only."""

from __future__ import annotations

import pytest
import torch

from mmsdk_speech.masking import SpecAugment, hidden, warped

LENGTHS = torch.tensor([50, 20, 1])


def masked() -> tuple[torch.Tensor, torch.Tensor]:
    mask = torch.arange(50) < LENGTHS[:, None]
    return torch.ones(3, 50, 40), mask


def test_nothing_is_hidden_outside_training() -> None:
    frames, mask = masked()
    assert SpecAugment(warp=0.2).eval()(frames, mask) is frames


def test_torch_seeds_what_is_hidden() -> None:
    frames, mask = masked()
    augment, found = SpecAugment(warp=0.2), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(augment(frames, mask))
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])
    assert not torch.equal(found[0][0], found[0][1])
    assert frames.eq(1).all()


def test_stretches_stay_within_the_row_and_within_their_share() -> None:
    torch.manual_seed(0)
    rows = LENGTHS.repeat_interleave(1_000)
    one = hidden(rows, 60, 1, 0.2)
    assert not one[torch.arange(60) >= rows[:, None]].any()
    count = one.sum(dim=1)
    assert (count <= (0.2 * rows).ceil()).all() and count[:1_000].max() == 10 and count[:1_000].min() == 0
    assert (one.int().diff(dim=1) == 1).sum(dim=1).max() == 1  # a single stretch
    assert one[:1_000, 0].any() and one[:1_000, 49].any()  # anywhere
    assert hidden(rows, 60, 3, 0.2).sum() > 2 * one.sum()
    assert not hidden(rows, 60, 0, 0.2).any() and not hidden(rows, 60, 2, 0.0).any()


def test_bands_and_stretches_are_whole() -> None:
    torch.manual_seed(0)
    frames, mask = masked()
    times = SpecAugment(frequency_masks=0)(frames, mask)
    assert (times == times[:, :, :1]).all() and times.eq(0).any()
    bands = SpecAugment(time_masks=0)(frames, mask)
    assert (bands == bands[:, :1]).all() and bands.eq(0).any()


@pytest.mark.parametrize("factor", [0.8, 1.0, 1.25])
def test_warped_bins_come_from_where_the_factor_says(factor: float) -> None:
    slope = torch.arange(40.0).expand(2, 5, 40)
    found = warped(slope, torch.tensor([factor, 1.0]))
    assert torch.allclose(found[0, 0], (torch.arange(40.0) * factor).clamp(max=39), atol=1e-5)
    assert torch.equal(found[1], slope[1])
