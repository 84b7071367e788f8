"""`imputed`: any fusion, with something in the place of absent streams."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mmsdk.builtin.fusions.imputers import Imputer
from mmsdk.builtin.fusions.vectors import masks_of, presence
from mmsdk.builtin.layers.rollout import by_stream
from mmsdk.containers import Encoding, Fused
from mmsdk.interfaces import FeatureFusion


class Imputed(FeatureFusion):
    """Lets `of` join streams none of which is absent in any row, but for rows without any stream at all.

    What stands in for an absent stream is one token and a pooled vector, and `imputer` makes both: it sees each stream
    as one vector, the mean of its tokens beside its pooled vector. Costs what `of` does, and what the imputer does.
    """

    def __init__(self, of: FeatureFusion, imputer: Imputer) -> None:
        super().__init__()
        self.of, self.imputer = of, imputer
        self.width, self.pooled_width = of.width, of.pooled_width

    def forward(self, encodings: Mapping[str, Encoding]) -> Fused:
        """Tokens, vectors and weights are those of `of`; losses, those of the imputer too."""
        filled, losses = self._filled(encodings)
        fused: Fused = self.of(filled)
        return Fused(fused.encoding, losses={**fused.losses, **losses}, weights=fused.weights)

    def attention(self, encodings: Mapping[str, Encoding]) -> Mapping[str, Tensor]:
        """That of `of`, without the tokens that stand in for absent streams."""
        filled, _ = self._filled(encodings)
        found = self.of.attention(filled)
        return by_stream(torch.cat(list(found.values()), dim=1), masks_of(encodings)) if found else {}

    def _filled(self, encodings: Mapping[str, Encoding]) -> tuple[dict[str, Encoding], Mapping[str, Tensor]]:
        """The encodings with guesses for absent streams, and the imputer's losses."""
        present = {name: encoding.present for name, encoding in encodings.items()}
        summaries = {name: summary(encoding) for name, encoding in encodings.items()}
        guesses, losses = self.imputer(summaries, present)
        if self.training:
            with torch.no_grad():
                self.imputer.learn({name: each.detach().float() for name, each in summaries.items()}, present)
        some = presence(encodings).any(dim=1)  # [batch]
        filled = {
            name: with_guess(encoding, guesses[name], some & ~present[name]) for name, encoding in encodings.items()
        }
        return filled, losses


def summary(encoding: Encoding) -> Tensor:
    """The mean of the tokens and the pooled vector, [batch, width + pooled_width]; zeros where it is absent."""
    mask = encoding.mask[..., None]  # [batch, length, 1]
    mean = encoding.tokens.masked_fill(~mask, 0).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
    pooled = encoding.pooled.masked_fill(~encoding.present[:, None], 0)
    return torch.cat([mean, pooled.to(mean.dtype)], dim=1)


def with_guess(encoding: Encoding, guess: Tensor, where: Tensor) -> Encoding:
    """guess [batch, width + pooled_width] as the only token and the vector of the rows `where` [batch] bool."""
    widths = [encoding.tokens.shape[2], encoding.pooled.shape[1]]
    token, vector = torch.split(guess.to(encoding.tokens.dtype), widths, dim=1)
    first = torch.zeros_like(encoding.mask)  # [batch, length]
    first[:, 0] = where
    tokens = torch.where(first[..., None], token[:, None], encoding.tokens.masked_fill(~encoding.mask[..., None], 0))
    pooled = encoding.pooled.masked_fill(~encoding.present[:, None], 0)
    pooled = torch.where(where[:, None], vector.to(pooled.dtype), pooled)
    return Encoding(tokens, encoding.mask | first, pooled)
