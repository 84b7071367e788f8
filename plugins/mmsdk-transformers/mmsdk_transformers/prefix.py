"""What a language model is shown before it writes: the tokens of other sources, at its own width."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmsdk import ConfigError, Encoding


class Bridge(nn.Module, ABC):
    """From the tokens of one source to places in the prefix."""

    @abstractmethod
    def forward(self, encoding: Encoding) -> tuple[Tensor, Tensor]:
        """tokens [batch, length, width] -> [batch, places, model's width], and which are there [batch, places] bool."""


class Projection(Bridge):
    """A place for each token: one linear layer (Liu et al., "Visual Instruction Tuning", 2023), or two with a GELU
    between them (Liu et al., "Improved Baselines with Visual Instruction Tuning", 2023)."""

    def __init__(self, width: int, model: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, model))
        for _ in range(layers - 1):
            self.layers += nn.Sequential(nn.GELU(), nn.Linear(model, model))

    def forward(self, encoding: Encoding) -> tuple[Tensor, Tensor]:
        return self.layers(encoding.tokens), encoding.mask


class Resampler(Bridge):
    """As many places as there are learned queries, however many tokens there are.

    The queries look at one another and at the tokens, as in the Q-Former (Li et al., "BLIP-2: Bootstrapping
    Language-Image Pre-training with Frozen Image Encoders and Large Language Models", 2023), whose own training by
    matching and contrast is not part of this; here each block looks at the tokens.
    """

    def __init__(self, width: int, model: int, queries: int, blocks: int, heads: int) -> None:
        super().__init__()
        if model % heads:
            raise ConfigError(
                f"{heads} attention heads cannot share the model's width of {model} evenly: give other 'heads'"
            )
        self.queries = nn.Parameter(torch.randn(queries, model) * model**-0.5)
        self.memory = nn.Sequential(nn.Linear(width, model), nn.LayerNorm(model))
        self.blocks = nn.ModuleList(
            nn.TransformerDecoderLayer(model, heads, 4 * model, 0.0, "gelu", batch_first=True, norm_first=True)
            for _ in range(blocks)
        )
        self.norm = nn.LayerNorm(model)

    def forward(self, encoding: Encoding) -> tuple[Tensor, Tensor]:
        present = encoding.present[:, None]  # [batch, 1]
        memory = self.memory(encoding.tokens)  # [batch, length, model]
        unseen = ~(encoding.mask | ~present)  # a row without any token looks at its padding: softmax needs something
        places = self.queries.expand(len(memory), -1, -1)  # [batch, queries, model]
        for block in self.blocks:
            places = block(places, memory, memory_key_padding_mask=unseen)
        return self.norm(places), present.expand(-1, len(self.queries))


class Prefix(nn.Module):
    """The sources one after the other."""

    def __init__(self, bridges: Sequence[Bridge]) -> None:
        super().__init__()
        self.bridges = nn.ModuleList(bridges)

    def forward(self, encodings: Sequence[Encoding]) -> tuple[Tensor, Tensor]:
        """-> [batch, places, model's width] and which are there [batch, places] bool."""
        parts = [bridge(encoding) for bridge, encoding in zip(self.bridges, encodings, strict=True)]
        places, mask = (torch.cat(each, dim=1) for each in zip(*parts, strict=True))
        return places, mask


def closed_up(places: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The same with what is there at the end, in its order and without gaps: places [batch, places, width], mask
    [batch, places] bool. A text goes on right after it, and a window of the last so many places sees it all."""
    order = mask.long().argsort(dim=1, stable=True)  # [batch, places]
    return places.gather(1, order[..., None].expand(-1, -1, places.shape[2])), mask.gather(1, order)
