"""A small pipeline around any component, to begin with: what the pages of components show. The tests validate each."""

from __future__ import annotations

import re
from typing import Any

from mmsdk.components import DecisionConfig, EncoderConfig, FusionConfig, HeadConfig, ModalityConfig

PHOTO = {"modality": {"type": "image", "size": 32}, "encoder": {"type": "cnn", "width": 32}}
TITLE = {"modality": {"type": "text"}, "encoder": {"type": "bag", "width": 32}}
STREAMS: dict[str, tuple[str, dict[str, Any]]] = {
    "tokens": ("title", TITLE),
    "pixels": ("photo", PHOTO),
    "sequence": ("sound", {"modality": {"type": "features"}, "encoder": {"type": "mlp", "width": 32}}),
    "table": (
        "facts",
        {"modality": {"type": "tabular", "numbers": ["price", "weight"]}, "encoder": {"type": "mlp", "width": 32}},
    ),
    "waveform": ("voice", {"modality": {"type": "speech.waveform"}, "encoder": {"type": "speech.cnn", "width": 32}}),
    "frames": ("clip", {"modality": {"type": "video.clip"}, "encoder": {"type": "video.frames", "width": 32}}),
    "each": (
        "pages",
        {
            "modality": {"type": "each", "of": {"type": "text"}},
            "encoder": {"type": "each", "of": {"type": "bag", "width": 32}},
        },
    ),
}
"""By the kind of tensors: a stream of that kind, and its usual name."""
NEEDED: dict[str, dict[str, Any]] = {
    "modality each": {"of": {"type": "text"}},
    "modality tabular": {"numbers": ["price", "weight"]},
    "modality transformers.tokens": {"model": "models/minilm"},
    "modality transformers.image": {"model": "models/clip"},
    "encoder each": {"of": {"type": "bag", "width": 32}},
    "encoder transformers.text": {"model": "models/minilm"},
    "encoder transformers.vision": {"model": "models/clip"},
    "encoder transformers.audio": {"model": "models/wav2vec2"},
    "encoder transformers.video": {"model": "models/videomae"},
    "fusion fusion.aligned": {"of": {"type": "gated", "width": 32}},
    "fusion imputed": {"of": {"type": "gated", "width": 32}},
    "head transformers.language_model": {"model": "models/gpt2"},
}
"""Fields without a default, and those without which a component is of no use. Models are folders on disk."""
ALIGNED = {"fusion.aligned", "fusion.early"}
"""Fusions of sequences that keep step."""


def pipeline(component: Any) -> dict[str, Any]:
    """The config of a pipeline with this component in its place."""
    name = component.type_name()
    own = {"type": name, **NEEDED.get(f"{component.kind} {name}", {})}
    if issubclass(component, ModalityConfig):
        return _of_modality(component, own)
    if issubclass(component, EncoderConfig):
        kind = component.reads[0]
        stream, parts = STREAMS[kind]
        modality = {"type": "transformers.tokens", "model": own["model"]} if name == "transformers.text" else None
        return _whole(_two(stream, {**parts, **({"modality": modality} if modality else {}), "encoder": own}))
    if issubclass(component, DecisionConfig):
        return _whole({"photo": PHOTO, "title": TITLE}, head={"reads": ["photo", "title"], "decision": own})
    if issubclass(component, FusionConfig):
        streams = {name: STREAMS["sequence"][1] for name in ("sound", "face")} if name in ALIGNED else None
        return _whole(streams or {"photo": PHOTO, "title": TITLE}, own)
    return _of_head(component, own)


def _of_modality(component: type[ModalityConfig], own: dict[str, Any]) -> dict[str, Any]:
    if component.gives in STREAMS:
        name, parts = STREAMS[component.gives]
        return _whole(_two(name, {**parts, "modality": own}))
    heads = {"labels": "multilabel", "number": "regression", "label_sequence": "token_classification"}
    head = {"type": heads.get(component.gives, "classification"), "target": {"column": "y", "modality": own}}
    if component.gives == "label_sequence":
        return _whole({"sound": STREAMS["sequence"][1]}, head={**head, "reads": ["sound"]})
    return _whole(_two("photo", PHOTO), head=head)


def _two(name: str, stream: dict[str, Any]) -> dict[str, Any]:
    """This stream and another one."""
    return {name: stream, **({"photo": PHOTO} if name == "title" else {"title": TITLE})}


READS = {
    "captioning": ["photo"],
    "diffusion.image": ["title"],
    "transformers.language_model": ["photo"],
    "token_classification": ["sound"],
    "contrastive": ["photo", "title"],
    "matching": ["fused", "photo", "title"],
    "masked": ["fused.title"],
}
"""What a head reads; others read what the fusion gives."""


def _of_head(component: type[HeadConfig], own: dict[str, Any]) -> dict[str, Any]:
    name = component.type_name()
    target = {"target": "y"} if component.target_modality and component.needs_target else {}
    reads = READS.get(name, ["fused"])
    named = {stream.removeprefix("fused.") for stream in reads if stream != "fused"} or {"photo"}
    streams = {stream: parts for stream, parts in STREAMS.values() if stream in named}
    if any(source.startswith("fused") for source in reads):
        streams = _two("photo", PHOTO)
    fusion = {"type": "transformer"} if name in ("masked", "matching") else None
    head = {**own, **target, **({"reads": reads} if name in READS else {})}
    return _whole(streams, fusion, head)


def _whole(
    streams: dict[str, Any], fusion: dict[str, Any] | None = None, head: dict[str, Any] | None = None
) -> dict[str, Any]:
    """A pipeline; unless a head is given it tells the category of a product."""
    if head is None or "type" not in head:
        head = {"type": "classification", "target": "category"} | (head or {})
    reads_fused = any(source.startswith("fused") for source in head.get("reads", ["fused"]))
    fusion = fusion or ({"type": "concat", "width": 32} if len(streams) > 1 and reads_fused else None)
    return {
        "schema_version": 1,
        "streams": streams,
        **({"fusion": fusion} if fusion else {}),
        "heads": {"answer": head},
        "data": {"path": "products.csv", "holdout": {"valid": 0.1, "test": 0.1}},
    }


def as_yaml(config: dict[str, Any]) -> str:
    """The config as a person would set it: a line for each stream and each head."""
    lines = []
    for key, value in config.items():
        if key in ("streams", "heads"):
            lines += [f"{key}:", *(f"  {name}: {_flow(each)}" for name, each in value.items())]
        else:
            lines.append(f"{key}: {_flow(value)}")
    return "\n".join(lines)


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    assert isinstance(value, int | float) or re.fullmatch(r"[\w./-]+", value), value
    return str(value)
