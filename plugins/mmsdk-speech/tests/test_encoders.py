"""speech.cnn, speech.crnn, speech.transformer: what every encoder promises, with each kind of features."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mmsdk import Encoder, Format
from mmsdk.plugins import registry

NAMES = ["speech.cnn", "speech.crnn", "speech.transformer"]
LENGTHS = [5_000, 120, 401, 2_600]


def build(name: str, **options: Any) -> Encoder:
    torch.manual_seed(0)
    found = registry().find("encoder", name)(width=16, **options)
    encoder: Encoder = found.build(Format("waveform", rate=8_000.0))
    return encoder


def batch(longest: int = 5_000, fill: float = 0.0) -> dict[str, torch.Tensor]:
    noise = 0.1 * torch.randn(len(LENGTHS), 5_000, generator=torch.Generator().manual_seed(1))
    samples = torch.nn.functional.pad(noise, (0, longest - 5_000))
    mask = torch.arange(longest) < torch.tensor(LENGTHS)[:, None]
    return {"samples": torch.where(mask, samples, fill), "mask": mask}


@pytest.mark.parametrize("features", ["log_mel", "mfcc", "fbank"])
@pytest.mark.parametrize("name", NAMES)
def test_padding_changes_nothing(name: str, features: str) -> None:
    encoder, inputs = build(name, features={"type": features}).eval(), batch(7_000, fill=9.0)
    with torch.no_grad():
        together = encoder(inputs)
        for row, length in enumerate(LENGTHS):
            alone = encoder({key: value[row : row + 1, :length] for key, value in inputs.items()})
            assert alone.mask.all() and together.mask[row].sum() == alone.mask.shape[1]
            assert torch.allclose(together.pooled[row], alone.pooled[0], atol=1e-5)
            assert torch.allclose(together.tokens[row][together.mask[row]], alone.tokens[0], atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_shapes_are_those_of_the_declaration(name: str) -> None:
    encoding = build(name)(batch())
    width, pooled_width = registry().find("encoder", name)(width=16).widths()
    assert encoding.tokens.shape[::2] == (4, width) and encoding.pooled.shape == (4, pooled_width)
    assert encoding.mask.shape == encoding.tokens.shape[:2] and encoding.mask.dtype == torch.bool
    assert not encoding.tokens[~encoding.mask].any()


@pytest.mark.parametrize("name", NAMES)
def test_rows_without_sound_are_finite_and_absent(name: str) -> None:
    encoder, inputs = build(name, dropout=0.0), batch()
    inputs["mask"][1] = False
    encoding = encoder(inputs)
    encoding.pooled.sum().backward()
    assert not encoding.mask[1].any() and not encoding.pooled[1].any() and encoding.pooled.isfinite().all()
    gradients = {key: value.grad for key, value in encoder.named_parameters()}
    assert [key for key, value in gradients.items() if value is None or not value.isfinite().all()] == []


@pytest.mark.parametrize("name", NAMES)
def test_silence_is_finite(name: str) -> None:
    encoder = build(name)
    encoding = encoder({"samples": torch.zeros(2, 900), "mask": torch.ones(2, 900, dtype=torch.bool)})
    encoding.pooled.square().sum().backward()
    assert encoding.pooled.isfinite().all()
    assert all(value.grad is not None and value.grad.isfinite().all() for value in encoder.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_learns(name: str) -> None:
    encoder = build(name, dropout=0.0)
    encoding = encoder(batch())
    (encoding.pooled.square().sum() + encoding.tokens.square().sum()).backward()
    assert [key for key, value in encoder.named_parameters() if value.grad is None or not value.grad.any()] == []
    assert all(value.dim() for value in encoder.parameters()) and encoder.blocks


@pytest.mark.parametrize("name", NAMES)
def test_only_weights_are_saved(name: str) -> None:
    encoder = build(name, spec_augment={})
    assert set(encoder.state_dict()) == {key for key, _ in encoder.named_parameters()}


@pytest.mark.parametrize("name", NAMES)
def test_sixteen_bits_come_near(name: str) -> None:
    encoder, inputs = build(name).eval(), batch()
    exact = encoder(inputs).pooled
    with torch.autocast("cpu", torch.bfloat16):
        near = encoder(inputs).pooled
    assert near.isfinite().all() and (near.float() - exact).abs().max() < 0.1 * exact.abs().max()


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
