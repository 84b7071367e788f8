"""transformers.language_model with pre-trained weights: what stays as it is, what is saved, and what is refused."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import mmsdk
from mmsdk_transformers.language_model import LanguageModel
from mmsdk_transformers.writing import LanguageModelConfig

from .conftest import WORDS, save_tokenizer

TINY = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
ROWS = [{"x": [float(place == k) for k in range(3)], "y": text} for place, text in enumerate(("red dog", "one", "cat"))]


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small random language model, with its tokenizer."""
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("llama")
    torch.manual_seed(0)
    ids = {"vocab_size": 20, "bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
    LlamaForCausalLM(LlamaConfig(**TINY, **ids, initializer_range=0.5)).save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def config(model: Path, **options: Any) -> dict[str, Any]:
    head = {"type": "transformers.language_model", "target": "y", "reads": ["x"], "model": str(model)}
    return {
        "streams": {"x": {"modality": "features", "encoder": {"type": "mlp", "width": 16}}},
        "heads": {"y": head | {"generation": {"max_tokens": 8}} | options},
        "training": {"epochs": 40, "learning_rate": 0.02, "batch_size": 3, "threads": 1},
    }


def trained(model: Path, out: Path, **options: Any) -> mmsdk.Pipeline:
    return mmsdk.train(config(model, **options), ROWS, out=out, show=False).pipeline


def head_of(pipeline: mmsdk.Pipeline) -> LanguageModel:
    head = pipeline.heads["y"]
    assert isinstance(head, LanguageModel)
    return head


def said(pipeline: mmsdk.Pipeline) -> list[Any]:
    return [result["y"].value for result in pipeline.predict([{"x": row["x"]} for row in ROWS])]


def test_a_frozen_model_is_told_what_to_say_by_its_prefix(llama: Path, tmp_path: Path) -> None:
    """The model stays as it is, bit for bit; saved and loaded without its folder, it says the same."""
    folder = shutil.copytree(llama, tmp_path / "llama")
    pipeline = trained(
        folder, tmp_path / "run", prefix="resampler", queries=4, prompt="a photo of", metrics=["exact_match"]
    )
    head, published = head_of(pipeline), load_file(folder / "model.safetensors")
    for name, part in head.network.named_parameters():
        assert torch.equal(part, published[name]) and f"network.{name}" in head.fixed
    assert head.prompt == [0, *(WORDS.index(word) for word in ("a", "photo", "of"))]
    assert mmsdk.evaluate(pipeline, {"train": ROWS})["train/y/perplexity"] < 7  # knowing nothing: 19
    shutil.rmtree(folder)
    again = mmsdk.Pipeline.load(tmp_path / "run")
    assert said(again) == said(pipeline) and head_of(again).prompt == head.prompt
    written = json.loads((tmp_path / "run/pipeline/pipeline.json").read_text())["config"]["heads"]["y"]
    assert written["target"]["modality"]["max_length"] == 16 and written["prompt_ids"] == head.prompt[1:]


def test_adapters_learn_and_peft_reads_them(llama: Path, tmp_path: Path) -> None:
    pipeline = trained(llama, tmp_path / "run", lora={"rank": 2})
    head, published = head_of(pipeline), load_file(llama / "model.safetensors")
    names = dict(head.network.named_parameters())
    assert all(
        torch.equal(names[name], published[name.replace(".base_layer.", ".")]) for name in names if "lora" not in name
    )
    assert all(part.any() for name, part in names.items() if "lora_B" in name)
    assert said(pipeline) == [row["y"] for row in ROWS] == said(mmsdk.Pipeline.load(tmp_path / "run"))
    written = json.loads((head.save_adapter(tmp_path / "adapter") / "adapter_config.json").read_text())
    assert written["base_model_name_or_path"] == str(llama)


def test_the_model_itself_learns_where_it_may(llama: Path, tmp_path: Path) -> None:
    pipeline = mmsdk.train(
        config(llama, frozen=False) | {"training": {"epochs": 1, "threads": 1}}, ROWS, out=tmp_path / "run", show=False
    ).pipeline
    published = load_file(llama / "model.safetensors")
    names = dict(head_of(pipeline).network.named_parameters())
    assert not head_of(pipeline).fixed and not any(torch.equal(part, published[name]) for name, part in names.items())


def test_a_model_that_does_not_learn_has_no_dropout(llama: Path) -> None:
    for frozen in (True, False):
        head = head_of(mmsdk.Pipeline.from_config(config(llama, frozen=frozen) | {"streams": tokens_of(llama)})).train()
        assert head.training and head.network.training != frozen


def tokens_of(model: Path) -> dict[str, Any]:
    stream = {"modality": {"type": "transformers.tokens", "model": str(model)}}
    return {"x": stream | {"encoder": {"type": "transformers.text", "model": str(model)}}}


def test_the_target_is_spelt_without_special_tokens(llama: Path) -> None:
    modality = mmsdk.Pipeline.from_config(config(llama) | {"streams": tokens_of(llama)}).modalities.targets["y"]
    ids = modality.prepare("A  red </s> dog")
    assert 2 not in ids and 0 not in ids, "an end inside a text would never be learnt"
    batch = modality.collate([modality.prepare("A red dog"), modality.prepare("cat")])
    assert batch["ids"].tolist() == [[4, 8, 11], [12, 0, 0]]
    assert modality.decode(batch) == ["a red dog", "cat"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"target": {"column": "y", "modality": "text"}},
            "writes with its own tokenizer: give the target as 'target: <",
        ),
        (
            {"target": {"column": "y", "modality": {"type": "transformers.tokens", "model": "MODEL"}}},
            "'special: false'",
        ),
        (
            {"target": {"column": "y", "modality": {"type": "transformers.tokens", "model": "gpt2", "special": False}}},
            "with the same 'model'",
        ),
    ],
)
def test_another_tokenizer_is_refused(llama: Path, options: dict[str, Any], message: str) -> None:
    given = json.loads(json.dumps(options).replace("MODEL", str(llama)))
    with pytest.raises(ValueError) as caught:
        LanguageModelConfig.model_validate({"model": str(llama), **given})
    assert message in str(caught.value)


def test_folders_that_are_no_language_models(llama: Path, clip: Path, tmp_path: Path) -> None:
    def refused(model: Path, message: str) -> None:
        with pytest.raises(mmsdk.ConfigError, match=message):
            mmsdk.Pipeline.from_config(config(model) | {"streams": tokens_of(llama)})

    refused(tmp_path / "nowhere", "there is no folder '.*nowhere'")
    refused(clip, "'clip' is no causal language model: choose")
    folder = shutil.copytree(llama, tmp_path / "llama")
    settings = json.loads((folder / "config.json").read_text())
    for changed, message in (
        ({"eos_token_id": None}, r"'llama' has the end of text None among 20 ids: give 'eos_token_id'"),
        (
            {"vocab_size": 5, "pad_token_id": None, "bos_token_id": None},
            "the target has 18 different ids, 'llama' knows 5",
        ),
        ({"hidden_size": 32}, "has weights of other shapes for"),
    ):
        (folder / "config.json").write_text(json.dumps(settings | changed))
        refused(folder, message)
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "tokenizer.json").unlink()
    refused(folder, r"it has no 'tokenizer.json'")


def test_without_peft(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(mmsdk.PluginError, match=r'pip install "mmsdk-transformers\[lora\]"'):
        mmsdk.Pipeline.from_config(config(llama, lora={}) | {"streams": tokens_of(llama)})
    with pytest.raises(mmsdk.ConfigError, match="this head has no adapters to save"):
        head_of(mmsdk.Pipeline.from_config(config(llama) | {"streams": tokens_of(llama)})).save_adapter("nowhere")
