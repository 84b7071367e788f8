"""`each`: a list of values, each encoded on its own, then in its context."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from mmsdk.builtin.layers.pooling import clean, masked_mean
from mmsdk.containers import Encoding, Inputs
from mmsdk.interfaces import Encoder

OF = "of."


class EachEncoder(Encoder):
    """One token per value, the pooled vector of the encoder `of`; `context` then reads the tokens as a sequence.

    With a recurrent context this is the contextual network of Poria et al., "Context-Dependent Sentiment Analysis in
    User-Generated Videos", 2017, but trained as one.

    Tokens [n, length, width], one per value; pooled [n, pooled_width] is the context's, or the mean of the tokens.
    """

    def __init__(self, of: Encoder, context: Encoder | None = None) -> None:
        super().__init__()
        self.of = of
        self.context = context
        self.width = context.width if context is not None else of.pooled_width
        self.pooled_width = context.pooled_width if context is not None else of.pooled_width

    @property
    def blocks(self) -> Sequence[nn.Module]:
        return [*self.of.blocks, *(self.context.blocks if self.context is not None else ())]

    @property
    def fixed(self) -> Collection[str]:
        of = [f"of.{name}" for name in self.of.fixed]
        return [*of, *(f"context.{name}" for name in (self.context.fixed if self.context is not None else ()))]

    def initialize(self) -> None:
        self.of.initialize()
        if self.context is not None:
            self.context.initialize()

    def forward(self, inputs: Inputs) -> Encoding:
        """mask [n, length] bool and the single values' own inputs [n, length, ...] under "of.<key>"."""
        mask = inputs["mask"]
        if torch.compiler.is_exporting():  # how many values are there is not known: all places are encoded
            every = {key.removeprefix(OF): part.flatten(0, 1) for key, part in inputs.items() if key.startswith(OF)}
            return self._joined(self.of(every).pooled.view(*mask.shape, -1), mask)
        read = mask.flatten().clone()  # [n * length]: only values that are there are encoded
        read[0] |= ~read.any()  # or one that is not, so that every parameter takes part in every batch
        single = {key.removeprefix(OF): part.flatten(0, 1)[read] for key, part in inputs.items() if key.startswith(OF)}
        vectors = self.of(single).pooled  # [values, width]
        tokens = vectors.new_zeros(len(read), vectors.shape[1]).masked_scatter(read[:, None], vectors)
        return self._joined(tokens.view(*mask.shape, -1), mask)

    def _joined(self, tokens: Tensor, mask: Tensor) -> Encoding:
        """tokens [n, length, width] of the single values, whatever stands where there is none."""
        tokens = tokens.masked_fill(~mask[..., None], 0)
        if self.context is None:
            return clean(tokens, mask, masked_mean(tokens, mask))
        encoding: Encoding = self.context({"values": tokens, "mask": mask})
        return encoding
