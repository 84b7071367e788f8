"""Gradient caching: gradients of the whole batch, from encoders that see a part of it at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import mmsdk
from mmsdk.containers import Encoding
from mmsdk.data.samples import as_row
from mmsdk.pipeline.modalities import Modalities
from mmsdk.pipeline.pipeline import Pipeline
from mmsdk.training.gradient_caching import Parts, gradient_caching
from tests.test_pipeline import batch

WORDS = {"modality": "text", "encoder": {"type": "transformer", "width": 8, "layers": 2, "heads": 2, "dropout": 0}}
NUMBERS = {"modality": "features", "encoder": {"type": "mlp", "width": 8, "dropout": 0}}
COLOURS = ["red", "green", "blue", "grey"]
ROWS: list[dict[str, Any]] = [
    {"word": " ".join(COLOURS[: 1 + place % 4]) + f" {place}", "vector": [place / 7, place % 3], "y": place % 2}
    | ({"again": COLOURS[place % 4]} if place % 3 else {})
    for place in range(11)
]


def settings(**training: Any) -> dict[str, Any]:
    return {
        "streams": {"word": WORDS, "again": {"shared_with": "word"}, "vector": NUMBERS},
        "fusion": {"type": "transformer", "width": 8, "heads": 2, "layers": 1, "dropout": 0},
        "heads": {
            "match": {"type": "contrastive", "reads": ["word", "vector"], "width": 4},
            "y": {"type": "classification", "target": "y"},
        },
        "training": {"epochs": 2, "batch_size": 6, "threads": 1, "device": "cpu", **training},
    }


def made(config: dict[str, Any]) -> Pipeline:
    checked = mmsdk.load_config(config)
    torch.manual_seed(0)
    rows = [as_row(values, str(number)) for number, values in enumerate(ROWS)]
    return Pipeline(checked, Modalities(checked).fit(lambda: rows)).train()


@pytest.fixture
def pipeline() -> Pipeline:
    return made(settings())


def gradients(pipeline: Pipeline, samples: Any) -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    pipeline.zero_grad()
    outputs = pipeline(samples, ["match", "y"])
    torch.stack([output.loss for output in outputs.values() if output.loss is not None]).sum().backward()
    return {name: part.grad.clone() for name, part in pipeline.named_parameters() if part.grad is not None}


@pytest.mark.parametrize("size", [1, 4, 100])
def test_gradients_are_those_of_the_whole_batch(pipeline: Pipeline, size: int) -> None:
    samples = batch(pipeline, ROWS)
    names, expected = list(pipeline.state_dict()), gradients(pipeline, samples)
    with gradient_caching(pipeline, Parts(size)):
        assert list(pipeline.state_dict()) == names
        found = gradients(pipeline, samples)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-5, atol=1e-5)
    assert all("forward" not in vars(encoder) for encoder in pipeline.encoders.values())


def test_no_encoder_sees_more_than_its_part(pipeline: Pipeline) -> None:
    seen: list[int] = []
    for encoder in {id(each): each for each in pipeline.encoders.values()}.values():
        whole = encoder.forward
        encoder.forward = lambda inputs, whole=whole: seen.append(len(next(iter(inputs.values())))) or whole(inputs)
    samples = batch(pipeline, ROWS)
    with gradient_caching(pipeline, Parts(3)):
        pipeline(samples, ["match"])
        once = len(seen)
        gradients(pipeline, samples)
    assert max(seen) <= 3 and once > 2
    forwards = len(seen) - once
    assert forwards > once  # once on the way forward, and again on the way back


def test_little_is_kept(pipeline: Pipeline) -> None:
    samples = batch(pipeline, [{"word": "red green blue " * 20 + str(place)} for place in range(8)])

    def kept() -> int:
        sizes: list[int] = []

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            sizes.append(tensor.nbytes)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            encoding = pipeline.encoders["word"](samples.streams["word"])
        assert isinstance(encoding, Encoding) and encoding.tokens.requires_grad
        return sum(sizes)

    plain = kept()
    with gradient_caching(pipeline, Parts(2)):
        assert kept() < 0.1 * plain


def test_dropout_draws_the_same_both_times(pipeline: Pipeline) -> None:
    """Were it not so, the gradient would belong to another loss: by finite differences, with the same seed, it does."""
    config = settings()
    config["streams"]["word"] = {**WORDS, "encoder": {**WORDS["encoder"], "dropout": 0.5}}  # type: ignore[dict-item]
    lively = made(config).double()
    samples = batch(lively, ROWS)
    samples = samples._replace(
        streams={
            name: {key: part.double() if part.is_floating_point() else part for key, part in inputs.items()}
            for name, inputs in samples.streams.items()
            if not isinstance(inputs, Encoding)
        }
    )
    parameter = next(part for name, part in lively.named_parameters() if "feedforward" in name and part.dim() == 2)

    def loss() -> torch.Tensor:
        torch.manual_seed(3)
        found = lively(samples, ["y"])["y"].loss
        assert found is not None
        return found

    with gradient_caching(lively, Parts(3)):
        (gradient,) = torch.autograd.grad(loss(), parameter)
        step = 1e-4 * torch.randn_like(parameter)
        with torch.no_grad():
            parameter += step
        above = loss()
        with torch.no_grad():
            parameter -= 2 * step
        below = loss()
    change = float((above - below).detach()) / 2
    assert change == pytest.approx(float((gradient * step).sum()), rel=0.01, abs=1e-12)


def test_it_trains_as_without(tmp_path: Path) -> None:
    plain = mmsdk.train(settings(), ROWS, out=tmp_path / "plain", show=False)
    parts = mmsdk.train(settings(micro_batch=2), ROWS, out=tmp_path / "parts", show=False)
    weights = plain.pipeline.state_dict()
    for name, weight in parts.pipeline.state_dict().items():
        torch.testing.assert_close(weight, weights[name], rtol=1e-4, atol=1e-5)
