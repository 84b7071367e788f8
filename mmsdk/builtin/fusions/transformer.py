"""`transformer`: one transformer over the tokens of all streams."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mmsdk.builtin.fusions.vectors import masks_of, presence, vector_and_tokens
from mmsdk.builtin.layers.attention import TransformerBlock
from mmsdk.builtin.layers.pooling import clean, masked_mean
from mmsdk.builtin.layers.rollout import by_stream, passed_on, recorded
from mmsdk.containers import Encoding, Fused
from mmsdk.formats import Source
from mmsdk.interfaces import FeatureFusion
from mmsdk.modules import Parts


class TransformerFusion(FeatureFusion):
    """transformer([c; P_1 H_1 + e_1; ...; P_M H_M + e_M]), of which the first token is the fused vector.

    The single-stream design of VisualBERT (Li et al., "VisualBERT: A Simple and Performant Baseline for
    Vision and Language", 2019) and ViLT (Kim et al., "ViLT: Vision-and-Language Transformer Without
    Convolution or Region Supervision", 2021): c is a learned summary token, e_m a learned vector per stream.
    Positions are the encoders' business.

    Nothing attends to the tokens of an absent stream, so absence is exact. Attention costs the square of the
    number of all tokens together.
    """

    def __init__(
        self, sources: Mapping[str, Source], width: int, layers: int = 2, heads: int = 4, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.width = self.pooled_width = width
        self.project = Parts({name: nn.Linear(source.width, width) for name, source in sources.items()})
        self.summary = nn.Parameter(0.02 * torch.randn(width))  # c
        self.kinds = nn.Parameter(0.02 * torch.randn(len(sources), width))  # e_1, ..., e_M
        self.blocks = nn.ModuleList(TransformerBlock(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, encodings: Mapping[str, Encoding]) -> Fused:
        """tokens [batch, length_m, width_m] of each stream -> tokens [batch, 1 + sum of lengths, width]."""
        present = presence(encodings).any(dim=1)  # [batch]
        parts = [self.summary.expand(present.shape[0], 1, -1)]
        for kind, (name, encoding) in zip(self.kinds, encodings.items(), strict=True):
            parts.append(self.project[name](clean(*encoding).tokens) + kind)  # [batch, length_m, width]
        masks = [encoding.mask for encoding in encodings.values()]
        seen = torch.cat([torch.ones_like(present)[:, None], *masks], dim=1)  # [batch, 1 + length]
        tokens = torch.cat(parts, dim=1)  # [batch, 1 + length, width]
        for block in self.blocks:
            tokens = block(tokens, seen)
        summary, *rest = self.norm(tokens).split([1, *(mask.shape[1] for mask in masks)], dim=1)
        streams = {
            name: clean(part, mask, masked_mean(part, mask))
            for name, part, mask in zip(encodings, rest, masks, strict=True)
        }
        fused = vector_and_tokens(summary[:, 0], torch.cat(rest, dim=1), seen[:, 1:], present)
        return Fused(fused, streams)

    def attention(self, encodings: Mapping[str, Encoding]) -> dict[str, Tensor]:
        """What the summary token is made of, followed through the layers; the share of c itself is left out."""
        with recorded(self.blocks) as looks:
            self(encodings)
        origin = torch.eye(looks[0].shape[2], device=looks[0].device).expand_as(looks[0])  # [batch, 1 + length, same]
        for look in looks:
            origin = passed_on(origin, look, origin)
        return by_stream(origin[:, 0, 1:], masks_of(encodings))
