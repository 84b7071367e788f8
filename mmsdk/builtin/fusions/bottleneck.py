"""`bottleneck`: streams that exchange what they know through a few shared tokens."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mmsdk.builtin.fusions.vectors import masks_of, presence, vector_and_tokens
from mmsdk.builtin.layers.attention import TransformerBlock
from mmsdk.builtin.layers.pooling import clean, masked_mean
from mmsdk.builtin.layers.rollout import by_stream, mean_origin, origins, passed_on, recorded
from mmsdk.containers import Encoding, Fused
from mmsdk.formats import Source
from mmsdk.interfaces import FeatureFusion
from mmsdk.modules import Parts


class Bottleneck(FeatureFusion):
    """Per layer, [H_m; F_m] <- block_m([H_m; F]) for each stream, then F <- mean of F_m over the present streams.

    Nagrani et al., "Attention Bottlenecks for Multimodal Fusion", 2021 (MBT). F is a handful of learned tokens, all
    that streams see of one another; the H_m are the projected tokens of a stream, and each has blocks of its own. The
    first layer fills F, so that streams know of each other from the second one on. The fused vector is the mean, over
    the present streams, of each one's mean token, where the paper averages the scores of each one's CLS token.

    Absence is exact: an absent stream counts in no mean. Time and weights grow with the number of streams, and
    attention with the square of the longest stream alone.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        width: int,
        layers: int = 2,
        heads: int = 4,
        tokens: int = 4,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.width = self.pooled_width = width
        self.project = Parts({name: nn.Linear(source.width, width) for name, source in sources.items()})
        self.shared = nn.Parameter(0.02 * torch.randn(tokens, width))  # F
        self.layers = nn.ModuleList(
            Parts({name: TransformerBlock(width, heads, dropout) for name in sources}) for _ in range(layers)
        )
        self.norms = Parts({name: nn.LayerNorm(width) for name in sources})

    def forward(self, encodings: Mapping[str, Encoding]) -> Fused:
        """tokens [batch, length_m, width_m] of each stream -> tokens [batch, 1 + sum of lengths, width]."""
        present = presence(encodings)  # [batch, streams]
        masks = masks_of(encodings)
        tokens = {name: self.project[name](clean(*encoding).tokens) for name, encoding in encodings.items()}
        shared = self.shared.expand(present.shape[0], -1, -1)  # [batch, shared, width]
        for layer in self.layers:
            assert isinstance(layer, Parts)
            found: list[Tensor] = []
            for name, mask in masks.items():
                seen = nn.functional.pad(mask, (0, shared.shape[1]), value=True)
                both = layer[name](torch.cat([tokens[name], shared], dim=1), seen)
                tokens[name], own = both.split([mask.shape[1], shared.shape[1]], dim=1)
                found.append(own)
            shared = masked_mean(torch.stack(found, dim=1).flatten(2), present).view_as(shared)
        streams = {}
        for name, mask in masks.items():
            final = self.norms[name](tokens[name])  # [batch, length_m, width]
            streams[name] = clean(final, mask, masked_mean(final, mask))
        means = torch.stack([stream.pooled for stream in streams.values()], dim=1)  # [batch, streams, width]
        every = torch.cat([stream.tokens for stream in streams.values()], dim=1)
        seen = torch.cat(list(masks.values()), dim=1)
        return Fused(vector_and_tokens(masked_mean(means, present), every, seen, present.any(dim=1)), streams)

    def attention(self, encodings: Mapping[str, Encoding]) -> dict[str, Tensor]:
        """What the mean tokens of the streams are made of, on average, followed through the layers and F."""
        masks = masks_of(encodings)
        with recorded(self.layers) as looks:
            self(encodings)
        made, each, present = origins(masks), iter(looks), presence(encodings)
        total = sum(mask.shape[1] for mask in masks.values())
        shared = looks[0].new_zeros(len(present), len(self.shared), total)  # F is of no token, to begin with
        for _ in self.layers:
            found: list[Tensor] = []
            for name, mask in masks.items():
                both = torch.cat([made[name], shared], dim=1)  # [batch, length_m + shared, sum of lengths]
                both = passed_on(both, next(each), both)
                made[name], own = torch.split(both, [mask.shape[1], shared.shape[1]], dim=1)
                found.append(own)
            shared = masked_mean(torch.stack(found, dim=1).flatten(2), present).view_as(shared)
        return by_stream(mean_origin(made, masks), masks)
