"""CLIP: the two towers, alone and together, give what transformers gives, and can be trained on."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

import mmsdk

TEXTS = ["a photo of a red dog", "the blue house.", "a cat", "one two three unknownword"]


def config(model: Path, **more: Any) -> dict[str, Any]:
    name = {"model": str(model)}
    return {
        "streams": {
            "image": {
                "modality": {"type": "transformers.image", **name},
                "encoder": {"type": "transformers.vision", **name},
            },
            "caption": {
                "modality": {"type": "transformers.tokens", **name},
                "encoder": {"type": "transformers.text", **name},
            },
        },
        "heads": {"near": {"type": "contrastive", "reads": ["image", "caption"], "width": None}},
    } | more


@pytest.fixture(scope="module")
def pipeline(clip: Path) -> mmsdk.Pipeline:
    return mmsdk.Pipeline.from_config(config(clip))


@pytest.fixture(scope="module")
def theirs(clip: Path) -> Callable[..., Any]:
    """What transformers' own CLIPModel gives for pictures and texts: unit vectors, and the similarities."""
    from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPModel, CLIPProcessor

    model = CLIPModel.from_pretrained(clip).eval()
    processor = CLIPProcessor(CLIPImageProcessorPil.from_pretrained(clip), AutoTokenizer.from_pretrained(clip))

    def ask(images: list[Image.Image], texts: list[str]) -> Any:
        with torch.inference_mode():
            return model(**processor(text=texts, images=images, return_tensors="pt", padding=True))

    return ask


def near(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_a_single_pair_and_a_batch_are_as_in_transformers(
    pipeline: mmsdk.Pipeline, theirs: Callable[..., Any], picture: Callable[..., Image.Image]
) -> None:
    images = [picture(0), picture(1, 45, 60), picture(2, 32, 32), picture(3, 90, 33)]
    for count in (1, 4):
        expected = theirs(images[:count], TEXTS[:count])
        samples = [{"image": each, "caption": text} for each, text in zip(images, TEXTS, strict=True)]
        found = pipeline.embed(samples[:count])
        near(found["image"], expected.image_embeds)
        near(found["caption"], expected.text_embeds)
        scale = pipeline.heads["near"].log_scale.detach().exp()  # type: ignore[operator, union-attr]
        near(scale * found["image"] @ found["caption"].T, expected.logits_per_image)


def test_pictures_alone_and_texts_alone(
    pipeline: mmsdk.Pipeline, theirs: Callable[..., Any], picture: Callable[..., Image.Image]
) -> None:
    expected = theirs([picture(5)], TEXTS[:1])
    images, texts = pipeline.embed({"image": picture(5)}), pipeline.embed({"caption": TEXTS[0]})
    near(images["image"], expected.image_embeds)
    near(texts["caption"], expected.text_embeds)
    assert not images["caption"].any() and not texts["image"].any()


def test_files_and_transparent_pictures(pipeline: mmsdk.Pipeline, tmp_path: Path, picture: Callable[..., Any]) -> None:
    picture(1).save(tmp_path / "a.png")
    clear = Image.new("RGBA", (40, 40), (255, 0, 0, 0))
    samples = [{"image": each} for each in (picture(1), tmp_path / "a.png", clear, Image.new("RGB", (40, 40), "white"))]
    one, file, transparent, white = pipeline.embed(samples)["image"]
    assert torch.equal(one, file) and torch.equal(transparent, white) and not torch.allclose(one, white)


def test_the_temperature_is_the_models(pipeline: mmsdk.Pipeline) -> None:
    assert [encoder.temperature for encoder in pipeline.encoders.values()] == [pytest.approx(math.exp(-3))] * 2
    assert pipeline.heads["near"].log_scale.item() == pytest.approx(3.0)  # type: ignore[operator, union-attr]


def test_each_tower_has_its_own_weights_alone(pipeline: mmsdk.Pipeline, clip: Path) -> None:
    from safetensors import safe_open

    with safe_open(clip / "model.safetensors", "pt") as file:
        published = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    text, image = (dict(pipeline.encoders[name].network.state_dict()) for name in ("caption", "image"))  # type: ignore[union-attr]
    assert set(text) | set(image) == set(published) - {"logit_scale"} and not set(text) & set(image)
    assert {name.split(".")[0] for name in text} == {"text_model", "text_projection"}
    assert all(torch.equal(published[name], value) for name, value in (text | image).items())


def test_a_saved_pipeline_needs_the_folder_no_more(clip: Path, tmp_path: Path, picture: Callable[..., Any]) -> None:
    folder = shutil.copytree(clip, tmp_path / "clip")
    pipeline = mmsdk.Pipeline.from_config(config(folder))
    sample = {"image": picture(2), "caption": TEXTS[0]}
    expected = pipeline.embed(sample)
    pipeline.save(tmp_path / "saved")
    shutil.rmtree(folder)
    found = mmsdk.Pipeline.load(tmp_path / "saved").embed(sample)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_the_built_in_image_modality_will_do(clip: Path, picture: Callable[..., Any]) -> None:
    tree = config(clip)
    tree["streams"]["image"]["modality"] = {"type": "image", "size": 32, "resize": "crop"}
    found = mmsdk.Pipeline.from_config(tree).embed({"image": picture(0, 32, 32)})["image"]
    expected = mmsdk.Pipeline.from_config(config(clip)).embed({"image": picture(0, 32, 32)})["image"]
    near(found, expected)
    tree["streams"]["image"]["modality"]["size"] = 48
    with pytest.raises(
        mmsdk.ConfigError, match=r"takes pictures of 32 x 32 pixels, the modality gives 48 x 48.*size: 32"
    ):
        mmsdk.Pipeline.from_config(tree)


def test_it_is_fine_tuned_with_rates_by_layer(clip: Path, tmp_path: Path, picture: Callable[..., Any]) -> None:
    rows = [
        {"image": picture(place), "caption": f"a {word} dog"} for place, word in enumerate(["red", "blue", "green"])
    ]
    stage = {"name": "tune", "freeze": ["streams.caption.encoder"], "layer_decay": {"image": 0.5}}
    training = {"epochs": 4, "learning_rate": 0.01, "activation_checkpointing": ["image"], "threads": 1}
    trained = mmsdk.train(config(clip, stages=[stage], training=training), rows, out=tmp_path / "run", show=False)
    before = mmsdk.Pipeline.from_config(config(clip))

    def change(name: str, path: str) -> float:
        parts = [pipeline.encoders[name].network.get_parameter(path) for pipeline in (before, trained.pipeline)]  # type: ignore[union-attr]
        return float(F.l1_loss(*parts).detach())

    low, high = (change("image", f"vision_model.encoder.layers.{layer}.mlp.fc1.weight") for layer in (0, 1))
    assert 0 < low < high and change("caption", "text_projection.weight") == 0
    assert len(trained.pipeline.encoders["image"].blocks) == 2


def test_a_tower_keeps_its_own_embedding(clip: Path) -> None:
    tree = config(clip)
    tree["streams"]["caption"]["encoder"]["pooling"] = "mean"
    with pytest.raises(mmsdk.ConfigError, match="has an embedding of its own: leave 'pooling' out"):
        mmsdk.Pipeline.from_config(tree)
    tree["streams"]["caption"]["encoder"] = {"type": "transformers.audio", "model": str(clip)}
    with pytest.raises(mmsdk.ConfigError, match="reads 'waveform'"):
        mmsdk.load_config(tree)
