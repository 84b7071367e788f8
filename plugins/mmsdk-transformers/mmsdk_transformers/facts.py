"""What the files beside the weights tell: how inputs are prepared, and how outputs are compared. No torch here."""

from __future__ import annotations

import math
from typing import Any

from mmsdk import ConfigError
from mmsdk_transformers.scrubbing import scrubbed
from mmsdk_transformers.source import ModelSource

Channels = tuple[float, float, float]
LENGTH = 512
"""The longest text where nothing else is said, in tokens."""


def preprocessor(source: ModelSource) -> dict[str, Any]:
    """The scrubbed settings of a model's image processor or feature extractor, in whichever file they stand."""
    if source.find("preprocessor_config.json") is not None:
        found: dict[str, Any] = scrubbed(source.json("preprocessor_config.json"))
        return found
    parts = scrubbed(source.json("processor_config.json")) if source.find("processor_config.json") is not None else {}
    for part in ("image_processor", "video_processor", "feature_extractor"):
        if isinstance(parts.get(part), dict):
            return dict(parts[part])
    raise ConfigError(
        f"model '{source.model}': it has no 'preprocessor_config.json', which tells how to prepare its inputs: add "
        "that file, or give the fields that it fills in (see `mmsdk schema`), such as 'mean' and 'std'"
    )


def normalization(settings: dict[str, Any]) -> tuple[Channels, Channels]:
    """(mean, std) for pixels in 0..1, whatever the processor multiplies pixels of 0..255 by.

    Raises:
        ConfigError: there are not three channels.
    """
    scale = 255 * settings.get("rescale_factor", 1 / 255) if settings.get("do_rescale", True) else 255.0
    normalizes = settings.get("do_normalize", True)
    mean = settings.get("image_mean") or [0.5] * 3 if normalizes else [0.0] * 3
    std = settings.get("image_std") or [0.5] * 3 if normalizes else [1.0] * 3
    try:
        (red, green, blue), (reddish, greenish, bluish) = (
            [float(each) / scale for each in part] for part in (mean, std)
        )
    except (TypeError, ValueError, ZeroDivisionError):
        raise ConfigError(
            f"expected a mean and a deviation of three channels, found {mean} and {std}: give 'mean' and 'std'"
        ) from None
    return (red, green, blue), (reddish, greenish, bluish)


def longest_text(source: ModelSource) -> int:
    """In tokens: what the tokenizer says, else what the network has positions for; within reason."""
    said = source.json("tokenizer_config.json") if source.find("tokenizer_config.json") is not None else {}
    config = source.json("config.json")
    text = config.get("text_config") if isinstance(config.get("text_config"), dict) else config
    known = [said.get("model_max_length"), (text or config).get("max_position_embeddings")]
    return min([int(each) for each in known if isinstance(each, int | float) and each > 0] + [LENGTH])


def temperature(source: ModelSource, kind: str) -> float | None:
    """exp(-logit_scale) of a CLIP-like model; CLAP has one for each side, ALIGN has the temperature itself."""
    for name in ("logit_scale", "logit_scale_a" if kind == "waveform" else "logit_scale_t"):
        scale = source.number(name)
        if scale is not None:
            return math.exp(-scale)
    return source.number("temperature")
