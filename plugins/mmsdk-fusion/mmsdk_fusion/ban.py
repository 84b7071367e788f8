"""`fusion.ban`: bilinear attention networks."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mmsdk import Encoding, FeatureFusion, Fused, Parts, Source
from mmsdk_fusion.vectors import OfTokens, mean, one_vector, presence


class BilinearAttention(FeatureFusion):
    """Each pair of tokens (x_i, y_j) of two streams has a share A_ij, and f = P sum_ij A_ij (U x_i) * (V y_j).

    Kim et al., "Bilinear Attention Networks", 2018: A = softmax over all i, j of p ((U' x_i) * (V' y_j)), with
    `glimpses` such maps, all made of the inputs. The glimpses follow one another with residual connections,
    x_i -> x_i + P_g sum A_g (U_g x) * (V_g y), and the fused vector is the mean of the x_i in the end (the paper's
    is their sum). The embeddings U, V, U', V' end in a ReLU, and * is elementwise. Tokens are projected to one width.

    Of exactly two streams. A learned token stands in for an absent one: absence is imputed. Costs the product of the
    two lengths per glimpse; pairs of tokens are never made, but for one number each.
    """

    def __init__(self, sources: Mapping[str, Source], width: int, glimpses: int = 2, dropout: float = 0.0) -> None:
        super().__init__()
        self.width = self.pooled_width = width
        self.project = OfTokens(sources, width)
        self.absent = Parts({name: _Token(width) for name in sources})
        self.embed = Parts({name: _embedding(width, dropout) for name in sources})
        self.maps = nn.Parameter(torch.randn(glimpses, width) * width**-0.5)  # p_1, ..., p_G
        self.glimpses = nn.ModuleList(_Glimpse(width, dropout) for _ in range(glimpses))

    def forward(self, encodings: Mapping[str, Encoding]) -> Fused:
        """tokens [batch, length_m, width_m] of two streams -> one token, [batch, 1, width]."""
        (x, x_mask), (y, _), shares = self._maps(encodings)
        for place, glimpse in enumerate(self.glimpses):
            x = x + glimpse(x, y, shares[:, place])[:, None]
        return one_vector(mean(x, x_mask), presence(encodings))

    def attention(self, encodings: Mapping[str, Encoding]) -> dict[str, Tensor]:
        """The A_ij, half of each for either token, the mean of the glimpses; learned tokens are left out."""
        *_, shares = self._maps(encodings)
        pairs = shares.mean(dim=1)  # [batch, i, j]
        kept = [pairs.sum(dim=2)[:, 1:], pairs.sum(dim=1)[:, 1:]]
        found = {
            name: share.masked_fill(~encoding.mask, 0)
            for (name, encoding), share in zip(encodings.items(), kept, strict=True)
        }
        whole = torch.stack([share.sum(dim=1) for share in found.values()]).sum(dim=0).clamp(min=1e-30)  # [batch]
        return {name: share / whole[:, None] for name, share in found.items()}

    def _maps(self, encodings: Mapping[str, Encoding]) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], Tensor]:
        """Tokens and mask of both streams, and A [batch, glimpses, i, j]."""
        (x, x_mask), (y, y_mask) = (
            self.absent[name](tokens, encodings[name].mask) for name, tokens in self.project(encodings).items()
        )
        own, other = (embed(tokens) for embed, tokens in zip(self.embed.values(), (x, y), strict=True))
        scores = (own[:, None] * self.maps[:, None]) @ other[:, None].transpose(2, 3)  # [batch, glimpses, i, j]
        hidden = ~(x_mask[:, :, None] & y_mask[:, None])[:, None]  # [batch, 1, i, j]
        shares = scores.float().masked_fill(hidden, float("-inf")).flatten(2).softmax(dim=2).view_as(scores)
        return (x, x_mask), (y, y_mask), shares


class _Glimpse(nn.Module):
    """P sum_ij A_ij (U x_i) * (V y_j)."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.first, self.second = _embedding(width, dropout), _embedding(width, dropout)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, y: Tensor, shares: Tensor) -> Tensor:
        """x [batch, i, width], y [batch, j, width], shares [batch, i, j] -> [batch, width]."""
        seen = shares @ self.second(y).to(shares.dtype)  # [batch, i, width]
        joined: Tensor = self.out((self.first(x) * seen).sum(dim=1))
        return joined


class _Token(nn.Module):
    """A learned token that stands in for an absent stream."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.value = nn.Parameter(0.02 * torch.randn(width))

    def forward(self, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """tokens [batch, length, width], mask [batch, length] -> the same, with the token in front."""
        absent = ~mask.any(dim=1, keepdim=True)  # [batch, 1]
        own = self.value.expand(len(mask), 1, -1).masked_fill(~absent[..., None], 0)
        return torch.cat([own.to(tokens.dtype), tokens], dim=1), torch.cat([absent, mask], dim=1)


def _embedding(width: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Dropout(dropout), nn.Linear(width, width), nn.ReLU())
