"""`video.frames`: an image encoder for each frame, then a network over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from mmsdk import Encoder, Encoding, Inputs, MeanMax
from mmsdk_video.layers import Recurrence, SelfAttention


class Frames(Encoder):
    """The pooled vector of each frame, then self-attention or a GRU over time. Tokens [n, length, width].

    image: any encoder of images; its weights are shared by all frames. dropout: inside the transformer, and between the
    layers of the GRU; elsewhere it would blur where things are, of which motion is a small difference.
    """

    def __init__(
        self,
        image: Encoder,
        width: int = 128,
        *,
        temporal: Literal["transformer", "rnn"] = "transformer",
        layers: int = 1,
        heads: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.width = self.pooled_width = width
        self.image = image
        self.join = nn.Linear(image.pooled_width, width)
        self.temporal: SelfAttention | Recurrence
        if temporal == "transformer":
            self.temporal = SelfAttention(width, layers=layers, heads=heads, dropout=dropout)
        else:
            self.temporal = Recurrence(width, layers=layers, dropout=dropout)
        self.pooling = MeanMax(width)

    @property
    def blocks(self) -> Sequence[nn.Module]:
        return [*(self.image.blocks or [self.image]), *self.temporal.blocks]

    def initialize(self) -> None:
        self.image.initialize()

    def forward(self, inputs: Inputs) -> Encoding:
        frames, mask = inputs["frames"], inputs["mask"]  # [n, length, 3, height, width], [n, length]
        seen: Tensor = self.image({"pixels": frames.flatten(0, 1)}).pooled  # [n * length, image.pooled_width]
        tokens = self.join(seen).view(*mask.shape, self.width).masked_fill(~mask[..., None], 0)
        encoding: Encoding = self.pooling(self.temporal(tokens, mask), mask)
        return encoding
