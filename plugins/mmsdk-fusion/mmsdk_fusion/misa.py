"""`fusion.misa`: what the streams share, and what each has for itself."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from math import comb

import torch
from torch import Tensor, nn

from mmsdk import Encoding, FeatureFusion, Fused, Parts, Source, TransformerBlock
from mmsdk_fusion.running import RunningMean, of_rows
from mmsdk_fusion.vectors import OfVectors, one_vector, presence

MOMENTS = 5


class SharedAndPrivate(FeatureFusion):
    """From u_m = norm(relu(P_m z_m)): s_m = sigmoid(S u_m), the same S for all, and p_m = sigmoid(Q_m u_m); a
    transformer over [s_1; p_1; ...; s_M; p_M], and one linear layer over all its tokens side by side.

    Hazarika, Zimmermann and Poria, "MISA: Modality-Invariant and -Specific Representations for Multimodal Sentiment
    Analysis", 2020. Three losses shape s and p:

    - `similarity`: the s of each two streams are distributed alike: central moment discrepancy
      |E a - E b| + sum over k = 2..5 of |C_k a - C_k b|, where C_k is the k-th central moment of each feature.
    - `difference`: s_m and p_m, and p_m and p_n, tell different things: |A' B|^2 / n^2, the squared cross-correlation
      of their rows, without their mean and scaled to the length 1.
    - `reconstruction`: a decoder gets u_m back from s_m + p_m: mean squared error.

    The first two are functions of means over the data, which are followed, see `running`. Each loss is a mean over the
    streams, or pairs of streams, that a row has. What is absent takes part in nothing: absence is exact. Costs
    attention over 2 M tokens, and losses of M (M - 1) / 2 pairs.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        width: int,
        heads: int = 2,
        similarity: float = 1.0,
        difference: float = 0.3,
        reconstruction: float = 1.0,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.width = self.pooled_width = width
        self.strengths = {"similarity": similarity, "difference": difference, "reconstruction": reconstruction}
        self.project = OfVectors(sources, width)
        self.norms = Parts({name: nn.LayerNorm(width) for name in sources})
        self.shared = nn.Linear(width, width)
        self.private = Parts({name: nn.Linear(width, width) for name in sources})
        self.decoder = nn.Linear(width, width)
        self.block = TransformerBlock(width, heads, dropout, feedforward=width)
        self.join = nn.Linear(2 * len(sources) * width, width)
        self.moments = Parts({name: RunningMean(MOMENTS, width) for name in sources})  # of s_m
        self.centers = Parts({name: RunningMean(width) for name in sources})  # of p_m
        self.own = Parts({name: RunningMean(width, width) for name in sources})  # s_m with p_m
        self.pairs = Parts(
            {
                one: Parts({other: RunningMean(width, width) for other in list(sources)[place + 1 :]})
                for place, one in enumerate(sources)
            }
        )  # p_m with p_n

    def forward(self, encodings: Mapping[str, Encoding]) -> Fused:
        """pooled [batch, pooled_width] of each stream -> one token, [batch, 1, width]."""
        present = presence(encodings)  # [batch, streams]
        given = {
            name: self.norms[name](vector.relu())
            for name, vector in zip(encodings, self.project(encodings), strict=True)
        }
        shared = {name: self.shared(vector).sigmoid() for name, vector in given.items()}
        private = {name: self.private[name](vector).sigmoid() for name, vector in given.items()}
        tokens = torch.stack([part for name in given for part in (shared[name], private[name])], dim=1)
        mask = present.repeat_interleave(2, dim=1)  # [batch, 2 * streams]
        tokens = self.block(tokens, mask).masked_fill(~mask[..., None], 0)
        losses = self._losses(given, shared, private, dict(zip(given, present.unbind(dim=1), strict=True)))
        weighed = {name: self.strengths[name] * loss for name, loss in losses.items()}
        return one_vector(self.join(tokens.flatten(1)), present, weighed)

    def _losses(
        self,
        given: Mapping[str, Tensor],
        shared: Mapping[str, Tensor],
        private: Mapping[str, Tensor],
        present: Mapping[str, Tensor],
    ) -> dict[str, Tensor]:
        """The three sums over rows. Of each stream: [batch, width], and present [batch] bool."""
        powers = {name: _powers(part) for name, part in shared.items()}  # [batch, 5, width] each
        for name, there in present.items():
            self.moments[name].follow(powers[name], there)
            self.centers[name].follow(private[name], there)
        plain = {name: _unit(part - self.moments[name].mean[0]) for name, part in shared.items()}
        special = {name: _unit(part - self.centers[name].mean) for name, part in private.items()}
        streams = torch.stack(list(present.values())).sum(dim=0)  # [batch]
        pairs = streams * (streams - 1) // 2
        parts = (streams + pairs).clamp(min=1)
        differences = [
            _crossed(self.own[name], plain[name], special[name], there, parts) for name, there in present.items()
        ]
        similarities, errors = [], []
        for one, other in combinations(given, 2):
            both = present[one] & present[other]
            shares = both / pairs.clamp(min=1)
            first, second = (self.moments[name].at(powers[name], shares) for name in (one, other))
            similarities.append(of_rows(_discrepancy(first, second), shares))
            crossed = _crossed(self.pairs[one][other], special[one], special[other], both, parts)
            differences.append(crossed)
        for name, vector in given.items():
            error = (self.decoder(shared[name] + private[name]) - vector).float().square().mean(dim=1)  # [batch]
            errors.append((error * present[name] / streams.clamp(min=1)).sum())
        similarity = torch.stack(similarities).sum() if similarities else errors[0] * 0
        return {
            "similarity": similarity,
            "difference": torch.stack(differences).sum(),
            "reconstruction": torch.stack(errors).sum(),
        }


def _powers(values: Tensor) -> Tensor:
    """values [batch, width] to the powers of 1 to 5: [batch, 5, width]."""
    return torch.stack([values.float() ** power for power in range(1, MOMENTS + 1)], dim=1)


def _discrepancy(first: Tensor, second: Tensor) -> Tensor:
    """The central moment discrepancy of two distributions on 0..1, from their raw moments [5, width] each."""
    difference = _central(first) - _central(second)
    return (difference.square().sum(dim=1) + 1e-12).sqrt().sum()  # not quite 0, where a root has no slope


def _central(raw: Tensor) -> Tensor:
    """Raw moments of each feature -> its mean, then the central moments: [5, width] both."""
    mean, found = raw[0], [raw[0]]
    for order in range(2, MOMENTS + 1):
        terms = [comb(order, power) * raw[power - 1] * (-mean) ** (order - power) for power in range(1, order + 1)]
        found.append((-mean) ** order + torch.stack(terms).sum(dim=0))
    return torch.stack(found)


def _unit(values: Tensor) -> Tensor:
    """values [batch, width], each row scaled to the length 1, in float32."""
    return nn.functional.normalize(values.float(), dim=1, eps=1e-6)


def _crossed(running: RunningMean, one: Tensor, other: Tensor, counts: Tensor, parts: Tensor) -> Tensor:
    """The squared cross-correlation of two [batch, width], as a sum over the rows in counts [batch] bool, each of which
    has so many parts [batch]."""
    products, shares = one[:, :, None] * other[:, None], counts / parts  # [batch, width, width]
    running.follow(products, counts)
    return of_rows(running.at(products, shares).square().sum(), shares)
