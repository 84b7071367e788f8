"""Beside transformers' own models and processors, on the same weights: the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mmsdk
from mmsdk_transformers.declarations import AudioConfig, ImageConfig, TextConfig, VideoConfig, VisionConfig

from .architectures import CLAP_EXTRACTOR, SOUNDS, TEXT, VIDEOS, fields
from .architectures import inputs as made

TEXTS = ["A man is eating food.", "KIDS ARE GONNA LOVE THE FILM", "word " * 300, "你好, world"]


def near(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def library(name: str, folder: Path, **config: Any) -> Any:
    """A random model of transformers, saved to a folder; every weight is random, the norms' and the biases too."""
    import transformers

    torch.manual_seed(0)
    kind = transformers.MODEL_MAPPING[transformers.CONFIG_MAPPING[name]]
    model = kind(transformers.CONFIG_MAPPING[name](**config)).eval()
    with torch.no_grad():
        for part in model.parameters():
            part.add_(0.1 * torch.randn_like(part))
    model.save_pretrained(folder)
    return model


def test_a_sentence_encoder(minilm: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    stream = {
        "modality": {"type": "transformers.tokens", "model": str(minilm)},
        "encoder": {"type": "transformers.text", "model": str(minilm)},
    }
    near_by = {"type": "contrastive", "reads": ["a", "b"], "width": None}
    tree = {"streams": {"a": stream, "b": {"shared_with": "a"}}, "heads": {"near": near_by}}
    pipeline = mmsdk.Pipeline.from_config(tree)
    inputs = AutoTokenizer.from_pretrained(minilm)(TEXTS, padding=True, truncation=True, return_tensors="pt")
    with torch.no_grad():
        tokens = AutoModel.from_pretrained(minilm).eval()(**inputs).last_hidden_state
    there = inputs["attention_mask"][..., None]
    expected = torch.nn.functional.normalize((tokens * there).sum(dim=1) / there.sum(dim=1), dim=1)
    near(pipeline.embed([{"a": text} for text in TEXTS])["a"], expected)
    near(pipeline.embed({"a": TEXTS[1]})["a"], expected[1:2])


def test_siglip(tmp_path: Path, picture: Callable[..., Any]) -> None:
    from transformers import SiglipImageProcessorPil

    vision = {**TEXT, "image_size": 32, "patch_size": 16}
    model = library("siglip", tmp_path, text_config=TEXT | {"projection_size": 16}, vision_config=vision)
    processor = SiglipImageProcessorPil(size={"height": 32, "width": 32})
    processor.save_pretrained(tmp_path)
    text = TextConfig(model=str(tmp_path)).resolve()
    encoder = text.build(mmsdk.Format("tokens", vocabulary=40)).eval()
    encoder.initialize()
    given = made("transformers.text")
    full = torch.full((3, 20), 1)
    full[:, :8] = given["ids"].masked_fill(~given["mask"], 1)
    near(encoder(given).pooled, model.get_text_features(input_ids=full).pooler_output)
    assert encoder.temperature == pytest.approx(float(torch.exp(-model.logit_scale.detach())))
    modality = ImageConfig(model=str(tmp_path)).resolve().build()
    image = VisionConfig(model=str(tmp_path)).resolve().build(modality.format).eval()
    image.initialize()
    pictures = [picture(0), picture(1, 20, 70)]
    pixels = processor(images=pictures, return_tensors="pt")["pixel_values"]
    found = image(modality.collate([modality.prepare(each) for each in pictures]))
    near(found.pooled, model.get_image_features(pixels).pooler_output)
    near(found.tokens, model.get_image_features(pixels).last_hidden_state)


def sounds(*lengths: int) -> tuple[list[np.ndarray[Any, Any]], dict[str, torch.Tensor]]:
    rng = np.random.default_rng(0)
    arrays = [(0.1 * rng.standard_normal(length)).astype(np.float32) for length in lengths]
    samples = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(each) for each in arrays], batch_first=True)
    return arrays, {"samples": samples, "mask": torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]}


def test_clap(tmp_path: Path) -> None:
    from transformers import ClapFeatureExtractor

    architecture = fields("transformers.audio", "clap")["architecture"]
    model = library("clap", tmp_path, **{key: value for key, value in architecture.items() if key != "model_type"})
    extractor = ClapFeatureExtractor(**CLAP_EXTRACTOR)
    extractor.save_pretrained(tmp_path)
    encoder = AudioConfig(model=str(tmp_path)).resolve().build(mmsdk.Format("waveform", rate=16_000.0)).eval()
    encoder.initialize()
    arrays, given = sounds(9_000, 16_000)
    theirs = extractor(arrays, sampling_rate=16_000, return_tensors="pt")["input_features"]
    near(encoder(given).pooled, model.get_audio_features(theirs).pooler_output)
    assert encoder.temperature == pytest.approx(float(torch.exp(-model.logit_scale_a.detach())))


@pytest.mark.parametrize("name", ["wav2vec2", "hubert", "whisper", "audio-spectrogram-transformer"])
def test_sounds(name: str, tmp_path: Path) -> None:
    from transformers import FEATURE_EXTRACTOR_MAPPING, Wav2Vec2FeatureExtractor

    architecture, settings = SOUNDS[name]
    model = library(name, tmp_path, **architecture)
    kind = FEATURE_EXTRACTOR_MAPPING.get(type(model.config), Wav2Vec2FeatureExtractor)
    extractor = kind(**settings)
    extractor.save_pretrained(tmp_path)
    encoder = AudioConfig(model=str(tmp_path)).resolve().build(mmsdk.Format("waveform", rate=16_000.0)).eval()
    encoder.initialize()
    arrays, given = sounds(9_000, 5_000)
    found = encoder(given)
    for row, array in enumerate(arrays):
        inputs = extractor(array, sampling_rate=16_000, return_tensors="pt")[extractor.model_input_names[0]]
        with torch.no_grad():
            tokens = (model.get_encoder() if name == "whisper" else model)(inputs).last_hidden_state[0]
        near(found.tokens[row][found.mask[row]], tokens[: int(found.mask[row].sum())])
        near(found.pooled[row], tokens[: int(found.mask[row].sum())].mean(dim=0))
    if name == "whisper":  # half a token per frame of 160 samples; what follows is silence
        assert found.mask.sum(dim=1).tolist() == [29, 16]


def test_films(tmp_path: Path) -> None:
    from transformers import VideoMAEImageProcessorPil

    model = library("videomae", tmp_path, **VIDEOS["videomae"])
    processor = VideoMAEImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    processor.save_pretrained(tmp_path)
    encoder = VideoConfig(model=str(tmp_path)).resolve().build(mmsdk.Format("frames", sizes=(32, 32))).eval()
    encoder.initialize()
    film = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    pixels = processor(list(film), return_tensors="pt")["pixel_values"]
    frames = torch.from_numpy(film).permute(0, 3, 1, 2)[None].float() / 255
    found = encoder({"frames": frames, "mask": torch.ones(1, 4, dtype=torch.bool)})
    near(found.tokens, model(pixels).last_hidden_state)


def test_more_frames_are_thinned_out_evenly() -> None:
    from mmsdk_transformers.vision import spread_evenly

    mask = torch.arange(9) < torch.tensor([9, 4, 2, 0])[:, None]
    assert spread_evenly(mask, 4).tolist() == [[1, 3, 5, 7], [0, 1, 2, 3], [0, 0, 1, 1], [0, 0, 0, 0]]


@pytest.mark.parametrize(
    ("settings", "scale"),
    [({}, 1.0), ({"rescale_factor": 1 / 127.5}, 0.5), ({"do_rescale": False}, 1 / 255)],
)
def test_however_a_processor_normalises(settings: dict[str, Any], scale: float, tmp_path: Path) -> None:
    import json

    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit"}))
    preprocessor = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.5, 0.25], **settings}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    config = VisionConfig(model=str(tmp_path), pretrained=False).resolve()
    assert config.mean == pytest.approx([0.1 * scale, 0.2 * scale, 0.3 * scale])
    assert config.std == pytest.approx([0.5 * scale, 0.5 * scale, 0.25 * scale])
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(preprocessor | {"image_mean": [0.5]}))
    with pytest.raises(mmsdk.ConfigError, match="give 'mean' and 'std'"):
        VisionConfig(model=str(tmp_path), pretrained=False).resolve()
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(mmsdk.ConfigError, match=r"no 'preprocessor_config.json'.*such as 'mean' and 'std'"):
        VisionConfig(model=str(tmp_path), pretrained=False).resolve()
