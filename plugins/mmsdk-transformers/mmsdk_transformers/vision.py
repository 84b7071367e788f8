"""`transformers.vision` and `transformers.video`: pixels, normalised as the model wants them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmsdk import ConfigError, Encoding, Format, Inputs
from mmsdk_transformers.pretrained import Pretrained


class Normalization(nn.Module):
    """(pixels - mean) / std per channel; pixels [..., 3, height, width] in 0..1."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(list(mean))[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(list(std))[:, None, None], persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        return (pixels - self.mean) / self.std


class Vision(Pretrained):
    """Pixels 0..1 of the model's size, normalised here. Tokens [n, patches, width].

    mean, std: of each channel, as in pre-training.

    Raises:
        ConfigError: the modality gives pictures of another size than the model takes; see also `Pretrained`.
    """

    side = "image"

    def __init__(
        self,
        format: Format,
        architecture: Mapping[str, Any],
        mean: Sequence[float] = (0.5, 0.5, 0.5),
        std: Sequence[float] = (0.5, 0.5, 0.5),
        **options: Any,
    ) -> None:
        super().__init__(architecture, **options)
        self.normalize = Normalization(mean, std)
        require_size(getattr(self.settings, "vision_config", self.settings), format)

    def forward(self, inputs: Inputs) -> Encoding:
        """pixels [n, 3, height, width] -> tokens, mask, pooled."""
        found = self.encode({"pixel_values": self.normalize(inputs["pixels"])})
        return self.encoding(found, torch.ones(found.tokens.shape[:2], dtype=torch.bool, device=found.tokens.device))


class Video(Pretrained):
    """Frames of the model's size; of each row as many as the model takes, evenly spread. Tokens [n, patches, width].

    mean, std: of each channel, as in pre-training.

    Raises:
        ConfigError: the modality gives frames of another size than the model takes; see also `Pretrained`.
    """

    side = "video"

    def __init__(
        self,
        format: Format,
        architecture: Mapping[str, Any],
        mean: Sequence[float] = (0.5, 0.5, 0.5),
        std: Sequence[float] = (0.5, 0.5, 0.5),
        **options: Any,
    ) -> None:
        super().__init__(architecture, **options)
        self.normalize = Normalization(mean, std)
        require_size(self.settings, format)
        count = getattr(self.settings, "num_frames", None) or getattr(self.settings, "frames_per_clip", None)
        if not isinstance(count, int):
            raise ConfigError(f"'{self.settings.model_type}' is no model of video: it has no 'num_frames'")
        self.count = count
        self.frames_name: str = self.network.main_input_name  # type: ignore[assignment]

    def forward(self, inputs: Inputs) -> Encoding:
        """frames [n, length, 3, height, width], mask [n, length] bool -> tokens, mask, pooled."""
        frames, mask = inputs["frames"], inputs["mask"]
        chosen = frames[torch.arange(len(frames), device=frames.device)[:, None], spread_evenly(mask, self.count)]
        found = self.encode({self.frames_name: self.normalize(chosen)})
        present = mask.any(dim=1, keepdim=True)  # [n, 1]
        return self.encoding(found, present.expand(found.tokens.shape[:2]).clone())


def spread_evenly(mask: Tensor, count: int) -> Tensor:
    """Which frames to take: [n, count] int64. mask [n, length] bool; frames repeat where a row has fewer."""
    lengths = mask.sum(dim=1, keepdim=True).clamp(min=1)  # [n, 1]
    middles = (torch.arange(count, device=mask.device) + 0.5) / count  # [count], in 0..1
    return (middles * lengths).long()


def require_size(settings: Any, format: Format) -> None:
    """Positions of patches are learned for one size; networks of convolutions, with a width per stage, take any."""
    size = getattr(settings, "image_size", None)
    if size is None or not hasattr(settings, "patch_size") or hasattr(settings, "hidden_sizes"):
        return
    wanted = tuple(size) if isinstance(size, list | tuple) else (size, size)
    if tuple(format.sizes) != wanted:
        given = " x ".join(map(str, format.sizes))
        raise ConfigError(
            f"'{settings.model_type}' takes pictures of {wanted[0]} x {wanted[1]} pixels, the modality gives {given}: "
            f"give it 'size: {wanted[0] if wanted[0] == wanted[1] else list(wanted)}', or use 'transformers.image'"
        )
