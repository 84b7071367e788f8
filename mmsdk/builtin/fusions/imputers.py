"""What can stand in for an absent stream. Every stream is one vector here, see `imputed.summary`.

What is learned beside the gradients lives in buffers: saved with the pipeline, changed in training mode only. Under
several processes they are those of the first one, which sees its share of the rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mmsdk.modules import Parts

Vectors = Mapping[str, Tensor]
"""Per stream [batch, size], zeros where it is absent."""
Present = Mapping[str, Tensor]
"""Per stream [batch] bool."""
FORGETTING = 0.01
"""The least weight of the newest batch in a mean: encoders change while they are trained."""


class Imputer(nn.Module, ABC):
    """Says what may stand in for each stream."""

    @abstractmethod
    def forward(self, streams: Vectors, present: Present) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """A guess for every row, [batch, size] per stream, and named losses, sums over rows."""

    def learn(self, streams: Vectors, present: Present) -> None:
        """Look at a training batch, without gradients."""


class Zero(Imputer):
    """Zeros, marked as present: the fusion cannot tell them from an encoding of zeros."""

    def forward(self, streams: Vectors, present: Present) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        return {name: torch.zeros_like(each) for name, each in streams.items()}, {}


class Mean(Imputer):
    """The mean of the training rows that have the stream; the newest ones count most, as encoders change."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        super().__init__()
        self.means = Parts({name: _Mean(size) for name, size in sizes.items()})

    def forward(self, streams: Vectors, present: Present) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        return {name: self.means[name].value.expand(each.shape[0], -1) for name, each in streams.items()}, {}

    def learn(self, streams: Vectors, present: Present) -> None:
        for name, each in streams.items():
            self.means[name].take(each[present[name]])


class _Mean(nn.Module):
    value: Tensor
    batches: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("value", torch.zeros(size))
        self.register_buffer("batches", torch.zeros(1))

    def take(self, rows: Tensor) -> None:
        if len(rows):
            self.batches += 1
            self.value += (rows.mean(dim=0) - self.value) * (1 / self.batches).clamp(min=FORGETTING)


class Learned(Imputer):
    """A learned vector per stream, as the prompts for missing inputs of Lee et al., "Multimodal Prompting with Missing
    Modalities for Visual Recognition", 2023, but for one per stream instead of one per pattern of absence."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        super().__init__()
        self.vectors = nn.ParameterList([nn.Parameter(0.02 * torch.randn(size)) for size in sizes.values()])
        self.names = list(sizes)

    def forward(self, streams: Vectors, present: Present) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        vectors = dict(zip(self.names, self.vectors, strict=True))
        return {name: vectors[name].expand(each.shape[0], -1) for name, each in streams.items()}, {}


class Nearest(Imputer):
    """What the most similar training row has there: by the mean cosine of the streams that are present.

    Nearest-neighbour imputation as of Troyanskaya et al., "Missing value estimation methods for DNA microarrays", 2001,
    with one neighbour and among the last `bank` training rows that have all streams. Zeros while there are none.
    """

    kept: Tensor
    seen: Tensor

    def __init__(self, sizes: Mapping[str, int], bank: int) -> None:
        super().__init__()
        self.sizes, self.bank = dict(sizes), bank
        self.register_buffer("kept", torch.zeros(bank, sum(sizes.values())))
        self.register_buffer("seen", torch.zeros(1, dtype=torch.int64))  # rows so far

    def forward(self, streams: Vectors, present: Present) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        kept = dict(zip(self.sizes, torch.split(self.kept, list(self.sizes.values()), dim=1), strict=True))
        normal = nn.functional.normalize
        similar = torch.stack(
            [normal(each.detach().float()) @ normal(kept[name]).T for name, each in streams.items()]  # 0 where absent
        ).sum(dim=0)  # [batch, bank]
        empty = torch.arange(self.bank, device=similar.device) >= self.seen
        places = similar.masked_fill(empty, -torch.inf).argmax(dim=1)  # [batch]
        return {name: kept[name][places] for name in streams}, {}

    def learn(self, streams: Vectors, present: Present) -> None:
        whole = torch.stack(list(present.values())).all(dim=0)
        rows = torch.cat([streams[name] for name in self.sizes], dim=1)[whole][-self.bank :]
        places = (self.seen + torch.arange(len(rows), device=rows.device)) % self.bank
        self.kept[places] = rows
        self.seen += len(rows)


class Regression(Imputer):
    """What the other streams foretell, linearly: v_m = A_m [v_n, and whether n is present; n != m] + b_m.

    Imputation of one modality from others as of Tran et al., "Missing Modalities Imputation via Cascaded Residual
    Autoencoder", 2017, with a single linear layer. Its loss, on rows that have the stream, is the squared error, a mean
    over numbers and a sum over rows; encoders learn nothing from it, or they would become easy to foretell. Where the
    guess is used, they do.
    """

    def __init__(self, sizes: Mapping[str, int], strength: float) -> None:
        super().__init__()
        self.sizes, self.strength = dict(sizes), strength
        whole = sum(sizes.values()) + len(sizes) - 1
        self.maps = Parts({name: nn.Linear(whole - size, size) for name, size in sizes.items()})

    def forward(self, streams: Vectors, present: Present) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        guesses = {name: self._guess(name, streams, present) for name in streams}
        fixed = {name: each.detach() for name, each in streams.items()}
        losses = {}
        for name, truth in fixed.items():
            known = present[name] & torch.stack([here for other, here in present.items() if other != name]).any(dim=0)
            errors = (self._guess(name, fixed, present).float() - truth.float()).square().mean(dim=1)  # [batch]
            losses[f"regression_{name}"] = self.strength * errors.masked_fill(~known, 0).sum()
        return guesses, losses

    def _guess(self, name: str, streams: Vectors, present: Present) -> Tensor:
        others = [other for other in self.sizes if other != name]
        flags = torch.stack([present[other] for other in others], dim=1)  # [batch, streams - 1]
        vectors = [streams[other] for other in others]
        guess: Tensor = self.maps[name](torch.cat([*vectors, flags.to(vectors[0].dtype)], dim=1))
        return guess
