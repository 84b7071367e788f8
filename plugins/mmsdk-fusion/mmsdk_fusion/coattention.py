"""`fusion.coattention`: the tokens of each stream are weighed by how they go with those of the others."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import torch
from torch import Tensor, nn

from mmsdk import Encoding, FeatureFusion, Fused, Parts, Source
from mmsdk_fusion.vectors import OfTokens, one_vector, presence


class CoAttention(FeatureFusion):
    """C_mn = tanh(X_m B_mn X_n'), H_m = tanh(X_m W_m + sum over n of C_mn (X_n W_n)), a_m = softmax(H_m w_m),

    x_m = sum of a_m X_m, and h = tanh(sum_m O x_m + b). Lu et al., "Hierarchical Question-Image Co-Attention for Visual
    Question Answering", 2016, its parallel co-attention, without the hierarchy of words and phrases. C says how each
    token of one stream goes with each of another, in both directions (C_nm is C_mn transposed). The paper's is that of
    two streams; here each two of M have a C, and H_m hears all. Tokens are projected to one width before.

    An absent stream adds nothing to any sum: absence is exact. Costs M (M - 1) / 2 products of two lengths.
    """

    def __init__(self, sources: Mapping[str, Source], width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.width = self.pooled_width = width
        self.project = OfTokens(sources, width)
        names = list(sources)
        self.affinity = Parts(
            {
                one: Parts({other: nn.Linear(width, width, bias=False) for other in names[place + 1 :]})
                for place, one in enumerate(names)
            }
        )
        self.dense = Parts({name: nn.Linear(width, width, bias=False) for name in names})
        self.score = Parts({name: nn.Linear(width, 1, bias=False) for name in names})
        self.out = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Dropout(dropout))

    def forward(self, encodings: Mapping[str, Encoding]) -> Fused:
        """tokens [batch, length_m, width_m] of each stream -> one token, [batch, 1, width]."""
        tokens, shares = self._shares(encodings)
        total: Tensor | int = 0
        for name, own in tokens.items():
            total = total + (shares[name][:, None].to(own.dtype) @ own)[:, 0]  # x_m, [batch, width]
        return one_vector(self.out(total), presence(encodings))

    def attention(self, encodings: Mapping[str, Encoding]) -> dict[str, Tensor]:
        """The a_m; the present streams count alike."""
        _, shares = self._shares(encodings)
        present = presence(encodings)  # [batch, streams]
        each = present / present.sum(dim=1, keepdim=True).clamp(min=1)
        return {name: share.float() * part[:, None] for (name, share), part in zip(shares.items(), each.T, strict=True)}

    def _shares(self, encodings: Mapping[str, Encoding]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The X_m [batch, length_m, width], zeros in the padding, and the a_m [batch, length_m]."""
        tokens = self.project(encodings)
        dense = {name: self.dense[name](own) for name, own in tokens.items()}
        heard = dict(dense)
        for one, other in combinations(tokens, 2):
            matching = (self.affinity[one][other](tokens[one]) @ tokens[other].transpose(1, 2)).tanh()
            heard[one] = heard[one] + matching @ dense[other]  # the padding is zeros
            heard[other] = heard[other] + matching.transpose(1, 2) @ dense[one]
        shares = {}
        for name in tokens:
            scores = self.score[name](heard[name].tanh())[..., 0]  # [batch, length_m]
            lowest = torch.finfo(scores.dtype).min  # finite: a row that is nothing but -inf has no gradient
            shares[name] = scores.masked_fill(~encodings[name].mask, lowest).softmax(dim=1)
        return tokens, shares
