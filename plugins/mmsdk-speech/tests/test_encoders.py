"""speech.cnn, speech.crnn, speech.transformer: what they promise beside the contract of all encoders."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mmsdk import Encoder, Format
from mmsdk.plugins import registry

NAMES = ["speech.cnn", "speech.crnn", "speech.transformer"]


def build(name: str, **options: Any) -> Encoder:
    torch.manual_seed(0)
    found = registry().find("encoder", name)(width=16, **options)
    encoder: Encoder = found.build(Format("waveform", rate=8_000.0))
    return encoder


def batch() -> dict[str, torch.Tensor]:
    mask = torch.arange(5_000) < torch.tensor([5_000, 120, 401, 2_600])[:, None]
    samples = 0.1 * torch.randn(mask.shape, generator=torch.Generator().manual_seed(1))
    return {"samples": samples * mask, "mask": mask}


@pytest.mark.parametrize("name", NAMES)
def test_only_weights_are_saved(name: str) -> None:
    encoder = build(name, spec_augment={})
    assert set(encoder.state_dict()) == {key for key, _ in encoder.named_parameters()}


@pytest.mark.parametrize("name", NAMES)
def test_spec_augment_acts_in_training_only(name: str) -> None:
    encoder, inputs = build(name, dropout=0.0, spec_augment={"warp": 0.1}), batch()
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(encoder(inputs).pooled)
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])
    plain = build(name, dropout=0.0).eval()
    assert torch.equal(encoder.eval()(inputs).pooled, plain(inputs).pooled)


@pytest.mark.parametrize("name", NAMES)
def test_louder_is_the_same_once_normalised(name: str) -> None:
    encoder, inputs = build(name).eval(), batch()
    louder = {**inputs, "samples": 4 * inputs["samples"]}
    assert torch.allclose(encoder(inputs).pooled, encoder(louder).pooled, atol=2e-3)
    raw = build(name, features={"normalize": False}).eval()
    assert (raw.spectrogram(louder)[0] - raw.spectrogram(inputs)[0]).max() > 1
