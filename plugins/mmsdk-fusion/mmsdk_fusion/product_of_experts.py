"""`fusion.product_of_experts`: each stream says what the latent vector is, and how sure it is."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from mmsdk import Encoding, FeatureFusion, Fused, Parts, Source
from mmsdk_fusion.vectors import one_vector, presence, vectors


class ProductOfExperts(FeatureFusion):
    """q(h) = N(mu, s^2) with 1 / s^2 = 1 + sum_m 1 / s_m^2 and mu = s^2 sum_m mu_m / s_m^2.

    Wu and Goodman, "Multimodal Generative Models for Scalable Weakly-Supervised Learning", 2018: the product of the
    streams' normal distributions N(mu_m, s_m^2), which a network of two layers reads from each, and of the prior
    N(0, 1). Training draws h from q, prediction takes mu. The loss `divergence` is that of q from the prior, summed
    over features and rows; where the paper's decoders want the inputs back, here the heads are what is to be told
    (which is a variational information bottleneck).

    An absent expert is left out of the sums: absence is exact. Costs M small networks.
    """

    def __init__(
        self, sources: Mapping[str, Source], width: int, divergence: float = 1e-3, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.width = self.pooled_width = width
        self.divergence = divergence
        self.experts = Parts(
            {
                name: nn.Sequential(
                    nn.Linear(source.pooled_width, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, 2 * width)
                )
                for name, source in sources.items()
            }
        )

    def forward(self, encodings: Mapping[str, Encoding]) -> Fused:
        """pooled [batch, pooled_width] of each stream -> one token, [batch, 1, width]."""
        present = presence(encodings)  # [batch, streams]
        said = torch.stack([self.experts[name](vector) for name, vector in vectors(encodings).items()], dim=1)
        mu, log_variance = said.float().chunk(2, dim=2)  # [batch, streams, width] each
        precision = (-log_variance.clamp(-10, 10)).exp().masked_fill(~present[..., None], 0)
        variance = 1 / (1 + precision.sum(dim=1))  # s^2, [batch, width]
        joint = variance * (precision * mu).sum(dim=1)
        far = 0.5 * (joint.square() + variance - variance.log() - 1).sum(dim=1)  # [batch]; 0 where nothing is
        drawn = joint + variance.sqrt() * torch.randn_like(joint) if self.training else joint
        return one_vector(drawn, present, {"divergence": self.divergence * far.sum()})
