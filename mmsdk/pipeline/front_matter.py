"""The head of a model card in YAML, as the Hugging Face hub reads it: what to find a model by, and its figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from mmsdk.components import HeadConfig
from mmsdk.config.card import CardConfig
from mmsdk.config.pipeline import PipelineConfig
from mmsdk.config.wiring import FUSED
from mmsdk.pipeline.hub import HUB_ID

OWN = "own data"
OTHER = "other"
TASKS = {
    ("pixels", "label"): "image-classification",
    ("tokens", "label"): "text-classification",
    ("waveform", "label"): "audio-classification",
    ("spectrogram", "label"): "audio-classification",
    ("frames", "label"): "video-classification",
    ("table", "label"): "tabular-classification",
    ("table", "number"): "tabular-regression",
    ("tokens", "label_sequence"): "token-classification",
    ("pixels", "tokens"): "image-to-text",
    ("waveform", "tokens"): "automatic-speech-recognition",
    ("tokens", "pixels"): "text-to-image",
    ("pixels tokens", "answers"): "visual-question-answering",
    ("pixels tokens", "tokens"): "image-text-to-text",
    ("pixels tokens", "embedding"): "zero-shot-image-classification",
}
"""What the hub calls a task, by the kinds that a head reads and the kind that it predicts."""


def front_matter(config: PipelineConfig, head: Mapping[str, Any]) -> str:
    """YAML between two lines of dashes. `head` is the content of pipeline.json."""
    card = config.card or CardConfig()
    tasks = {name: task_of(config, each) for name, each in config.heads.items()}
    kinds = [stream.modality.gives for stream in config.streams.values() if stream.modality is not None]
    results = [
        EvalResult(
            task_type=tasks.get(name) or OTHER,
            dataset_type=card.dataset or OWN,
            dataset_name=card.dataset or OWN,
            dataset_split=split,
            dataset_revision=head.get("data"),
            metric_type=metric,
            metric_name=f"{name}/{metric}",
            metric_value=value,
        )
        for (split, name, metric), value in ((each.split("/", 2), value) for each, value in head["metrics"].items())
    ]
    data = ModelCardData(
        library_name="mmsdk",
        license=card.license,
        language=card.language or None,
        datasets=[card.dataset] if HUB_ID.fullmatch(card.dataset or "") else None,
        tags=["multimodal", *dict.fromkeys(kinds)],
        pipeline_tag=next((task for task in tasks.values() if task), None),
        metrics=list(dict.fromkeys(result.metric_type for result in results)) or None,
        model_name=(card.name or "mmsdk pipeline") if results else None,
        eval_results=results or None,
    )
    return f"---\n{data.to_yaml()}\n---"


def task_of(config: PipelineConfig, head: HeadConfig) -> str | None:
    """What the hub calls the task of a head; None where it has no name for it."""
    fused = any(read.partition(".")[0] == FUSED for read in head.reads)
    modalities = [config.streams[config.owner_of(name)].modality for name in (config.streams if fused else head.reads)]
    kinds = " ".join(sorted({modality.gives for modality in modalities if modality is not None}))
    target = head.target_config() if head.predicts else None
    return TASKS.get((kinds, target.gives if target is not None else "embedding"))
