"""`fusion.aligned`: any strategy, step by step."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from mmsdk import Encoder, Encoding, FeatureFusion, Fused
from mmsdk_fusion.steps import aligned, of_steps


class Aligned(FeatureFusion):
    """Joins step i of each stream with step i of the others by the strategy `of`, which sees each step as a row.

    of: built for streams whose pooled vectors are the tokens. context: an encoder of sequences over what it gives.
    Tokens [batch, length, width], one per step where any stream is; pooled is the context's, or their mean.
    """

    def __init__(self, of: FeatureFusion, context: Encoder | None = None) -> None:
        super().__init__()
        self.of = of
        self.context = context
        self.width = context.width if context is not None else of.pooled_width
        self.pooled_width = context.pooled_width if context is not None else of.pooled_width

    def forward(self, encodings: Mapping[str, Encoding]) -> Fused:
        tokens, masks = aligned(encodings)
        mask = masks.any(dim=0)  # [batch, length]
        read = mask.flatten().clone()  # [batch * length]: steps where nothing is are left out
        read[0] |= ~read.any()  # but for one where there is no other, so that every parameter takes part
        steps = {
            name: _rows(own.flatten(0, 1)[read], here.flatten()[read])
            for name, own, here in zip(encodings, tokens, masks, strict=True)
        }
        fused: Fused = self.of(steps)
        vectors = fused.encoding.pooled  # [steps, width]
        joined = vectors.new_zeros(len(read), vectors.shape[1]).masked_scatter(read[:, None], vectors)
        encoding = of_steps(joined.view(*mask.shape, -1), mask)
        if self.context is not None:
            encoding = self.context({"values": encoding.tokens, "mask": mask})
        return Fused(encoding, losses=fused.losses)


def _rows(tokens: Tensor, mask: Tensor) -> Encoding:
    """tokens [rows, width], mask [rows] bool -> an encoding of one token per row."""
    return Encoding(tokens[:, None], mask[:, None], tokens)
