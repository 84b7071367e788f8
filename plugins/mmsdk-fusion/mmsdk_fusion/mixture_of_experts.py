"""`fusion.mixture_of_experts`: each row asks the few experts that it is meant for."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mmsdk import Encoding, FeatureFusion, Fused, Source
from mmsdk_fusion.running import RunningMean, of_rows
from mmsdk_fusion.vectors import one_vector, presence, vectors


class MixtureOfExperts(FeatureFusion):
    """h = sum_e G(z)_e E_e(z) with z = [z_1; ...; z_M] and G(z) = softmax(the `active` largest of H(z)).

    H(z) = z W_g + noise * softplus(z W_n), with standard normal noise in training alone. Noisy top-k gating of Shazeer
    et al., "Outrageously Large Neural Networks: The Sparsely-Gated Mixture-of-Experts Layer", 2017. Experts have two
    layers; W_g and W_n begin as zeros, so that all are asked alike. The loss `balance` is, as in the paper, the squared
    coefficients of variation of importance (the experts' shares of G) and of load (the chance of an expert to be among
    the largest, were its noise drawn again); both are means over the whole data, see `running`.

    An absent z_m is zeros and adds nothing to any layer: absence is exact. All experts run on all rows, which for one
    vector per row is quicker than to sort rows by experts; only the `active` ones count. Costs `experts` times two
    products of matrices, whose weights grow with the sum of the widths.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        width: int,
        experts: int = 4,
        active: int = 2,
        balance: float = 0.1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        total = sum(source.pooled_width for source in sources.values())
        self.width = self.pooled_width = width
        self.active, self.balance = active, balance
        self.gate = nn.Linear(total, experts, bias=False)
        self.noise = nn.Linear(total, experts, bias=False)
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.noise.weight)
        self.first, self.second = nn.Linear(total, experts * width), _EachOwn(experts, width)
        self.dropout = nn.Dropout(dropout)
        self.asked = RunningMean(2, experts, start=1 / experts)  # importance, and load as a share

    def forward(self, encodings: Mapping[str, Encoding]) -> Fused:
        """pooled [batch, pooled_width] of each stream -> one token, [batch, 1, width]."""
        present = presence(encodings)  # [batch, streams]
        joined = torch.cat(list(vectors(encodings).values()), dim=1)  # [batch, total]
        gates, load = self._gates(joined)
        hidden = self.first(joined).relu().unflatten(1, (-1, self.width))  # [batch, experts, width]
        fused = (gates[..., None] * self.second(self.dropout(hidden))).sum(dim=1)
        asked, counts = torch.stack([gates, load / self.active], dim=1), present.any(dim=1)
        self.asked.follow(asked, counts)
        mean = self.asked.at(asked, counts)  # [2, experts]
        variation = mean.var(dim=1, correction=0) / mean.mean(dim=1).square().clamp(min=1e-10)
        return one_vector(fused, present, {"balance": of_rows(self.balance * variation.sum(), counts)})

    def _gates(self, joined: Tensor) -> tuple[Tensor, Tensor]:
        """[batch, total] -> G(z), and each expert's chance to be asked, both [batch, experts], in float32."""
        clean, spread = self.gate(joined).float(), nn.functional.softplus(self.noise(joined).float())
        noisy = clean + torch.randn_like(clean) * spread if self.training else clean
        largest, chosen = noisy.topk(self.active + 1, dim=1)
        last, next_one = largest[:, self.active - 1, None], largest[:, self.active, None]
        asked = torch.zeros_like(noisy, dtype=torch.bool).scatter(1, chosen[:, :-1], True)
        rival = torch.where(asked, next_one, last)  # what an expert has to exceed: the k-th largest of the others
        chance = torch.special.ndtr((clean - rival) / spread)
        return noisy.masked_fill(~asked, float("-inf")).softmax(dim=1), chance


class _EachOwn(nn.Module):
    """A linear layer for each expert."""

    def __init__(self, experts: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(experts, width, width).uniform_(-1, 1) * width**-0.5)
        self.bias = nn.Parameter(torch.zeros(experts, width))

    def forward(self, hidden: Tensor) -> Tensor:
        """hidden [batch, experts, width] -> [batch, experts, width]."""
        return (hidden.transpose(0, 1) @ self.weight).transpose(0, 1) + self.bias
