"""A folder of each kind that mmsdk opens, as it wrote it itself: what the attacks begin with."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors

import mmsdk
from mmsdk.cache.features import FeatureCache
from mmsdk.pipeline.modalities import Modalities
from tests.programs import made_up

ROWS = made_up.samples(24, absent=0, untold=0)
CONFIG: dict[str, Any] = {
    "streams": made_up.STREAMS,
    "fusion": {"type": "gated", "width": 8, "dropout": 0},
    "heads": {"colour": made_up.COLOUR, "match": made_up.MATCH},
    "training": {"batch_size": 8, "epochs": 2, "threads": 1, "device": "cpu"},
}
CACHED = "text"
"""The stream whose encodings are in the feature cache."""
WIDE = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
WORDS = ["<s>", "<pad>", "</s>", "<unk>", *made_up.COLOURS, *made_up.SHAPES, *made_up.SIZES]


def make(parent: Path) -> dict[str, Path]:
    """One folder of each kind: pipeline, run (not finished), export, features, index, model."""
    trained = mmsdk.train(CONFIG, ROWS, out=parent / "run", show=False)
    for name in ("metrics.json", "pipeline", "curve.png"):
        path = parent / "run" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    shutil.rmtree(parent / "run" / "checkpoints" / "step-00000006")  # there is an epoch left
    pipeline = trained.pipeline.eval()
    made = {"run": parent / "run", "pipeline": pipeline.save(parent / "pipeline"), "model": _model(parent / "model")}
    made["features"] = _features(pipeline, parent / "features")
    made["export"] = _export(pipeline, parent / "export")
    made["index"] = _index(pipeline, parent / "index")
    made["hub"] = _of_model(made["model"], parent / "hub")
    return made


def of_model(model: Path) -> dict[str, Any]:
    """A config of two pre-trained towers, which needs no training."""
    named = {"model": str(model)}
    stream = {
        "modality": {"type": "transformers.tokens", **named},
        "encoder": {"type": "transformers.text", **named},
    }
    picture = {
        "modality": {"type": "transformers.image", **named},
        "encoder": {"type": "transformers.vision", **named},
    }
    near = {"type": "contrastive", "reads": ["image", "text"], "width": None}
    return {"streams": {"image": picture, "text": stream}, "heads": {"near": near}}


def _of_model(model: Path, folder: Path) -> Path:
    return mmsdk.Pipeline.from_config(of_model(model)).save(folder)


def _features(pipeline: mmsdk.Pipeline, root: Path) -> Path:
    cache = FeatureCache(root=root)
    pipeline.requires_grad_(False)
    cache.fill(pipeline, cache.port(pipeline, CACHED), [mmsdk.Row(str(row["id"]), row, None) for row in ROWS])
    return root


def _export(pipeline: mmsdk.Pipeline, folder: Path) -> Path:
    from mmsdk.export.folder import export_pipeline

    alone = {"text": made_up.STREAMS["text"], "numbers": made_up.STREAMS["numbers"]}
    config = {**CONFIG, "streams": alone, "heads": {"colour": made_up.COLOUR}}
    checked = mmsdk.load_config(config).resolve()
    rows = [mmsdk.Row(str(row["id"]), row, None) for row in ROWS]
    return export_pipeline(mmsdk.Pipeline(checked, Modalities(checked).fit(lambda: rows)), folder, rows).folder


def _index(pipeline: mmsdk.Pipeline, folder: Path) -> Path:
    from mmsdk_retrieval import Index

    return Index.build(pipeline, ROWS).save(folder)


def _model(folder: Path) -> Path:
    """A small random CLIP, with its tokenizer and its image processor, as its makers would publish it."""
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPProcessor, PreTrainedTokenizerFast

    text = {**WIDE, "vocab_size": 40, "max_position_embeddings": 16, "eos_token_id": 2, "pad_token_id": 1}
    vision = {**WIDE, "image_size": 32, "patch_size": 16}
    torch.manual_seed(0)
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)).save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    named = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=16, **named)
    size = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    CLIPProcessor(CLIPImageProcessorPil(**size), fast).save_pretrained(folder)
    return folder
