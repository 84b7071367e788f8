"""Sound little components, each with a switch for the mistake that a contract has to find."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmsdk import (
    ConfigError,
    Corruption,
    DecisionFusion,
    DecodeError,
    Encoder,
    Encoding,
    FeatureFusion,
    Format,
    Fused,
    Inputs,
    Modality,
    Prediction,
    ScoringHead,
)
from mmsdk.errors import DataError


class Fusion(FeatureFusion):
    """The mean of the projected streams that are present."""

    def __init__(self, sources: Mapping[str, Any], mistake: str) -> None:
        super().__init__()
        self.width = self.pooled_width = 8
        self.mistake = mistake
        self.project = nn.ModuleList(nn.Linear(each.pooled_width, 8) for each in sources.values())
        if mistake == "unused":
            self.unused = nn.Linear(2, 2, bias=False)
        if mistake == "scalar":
            self.scale = nn.Parameter(torch.tensor(1.0))
        if mistake == "tangled":
            self.pairs = nn.Parameter(torch.randn(len(sources) ** 3))
        if mistake == "batch norm":
            self.norm = nn.BatchNorm1d(8, affine=False)
        if mistake == "forgets":
            self.shift = torch.randn(8)

    def forward(self, encodings: Mapping[str, Encoding]) -> Fused:
        present = torch.stack([each.present for each in encodings.values()], dim=1)
        if self.mistake == "writes":
            next(iter(encodings.values())).pooled[:, 0] = 0
        vectors = []
        for project, each in zip(self.project, encodings.values(), strict=True):
            there, pooled = each.present[:, None], each.pooled
            if self.mistake == "leaks padding":
                pooled = pooled + each.tokens.mean(dim=(1, 2))[:, None]
            if self.mistake not in ("reads absent", "masks late"):
                pooled = pooled.masked_fill(~there, 0)
            vector = project(pooled)
            vectors.append(vector if self.mistake == "reads absent" else vector.masked_fill(~there, 0))
        count = present.sum(dim=1, keepdim=True)
        if self.mistake == "counts absent":
            count = torch.full_like(count, len(vectors))
        pooled = torch.stack(vectors).sum(dim=0) / (count if self.mistake == "nan" else count.clamp(min=1))
        mask = present.any(dim=1, keepdim=True)
        if self.mistake == "scalar":
            pooled = pooled * self.scale
        if self.mistake == "tangled":
            pooled = pooled * self.pairs.tanh().sum()
        if self.mistake == "random":
            pooled = pooled + 0.01 * torch.rand(8)
        if self.mistake == "batch norm":
            pooled = pooled + 0 * self.norm(pooled)
        if self.mistake == "neighbours":
            pooled = pooled - pooled.mean(dim=0)
        if self.mistake == "forgets":
            pooled = pooled + self.shift
        if self.mistake == "always there":
            mask = torch.ones_like(mask)
        if self.mistake != "nan":
            pooled = pooled * mask
        tokens = pooled[:, None]
        if self.mistake == "pooled":
            pooled = torch.cat([pooled, pooled], dim=1)
        return Fused(Encoding(tokens, mask.float() if self.mistake == "mask" else mask, pooled))


class BadEncoder(Encoder):
    """The mean of projected steps."""

    def __init__(self, format: Format, mistake: str) -> None:
        super().__init__()
        self.width = self.pooled_width = 8
        self.mistake = mistake
        self.project = nn.Linear(format.width, 8)

    def forward(self, inputs: Inputs) -> Encoding:
        mask = inputs["mask"]
        tokens = self.project(inputs["values"])
        if self.mistake != "shows absent":
            tokens = tokens * mask[..., None]
        if self.mistake == "leaks padding":
            return Encoding(tokens, mask, tokens.mean(dim=1))
        shares = mask / mask.sum(dim=1, keepdim=True).clamp(min=0 if self.mistake == "nan" else 1)
        return Encoding(tokens, mask, (tokens * shares[..., None]).sum(dim=1))


class BadModality(Modality):
    """Lists of numbers, less the smallest one of the training values."""

    fits = True

    def __init__(self, mistake: str) -> None:
        self.mistake, self.least = mistake, None

    def fit(self, values: Iterable[Any]) -> None:
        self.least = min(number for value in values for number in value)

    def known(self) -> Any:
        if self.least is None:
            raise DataError("fit first")
        return self.least

    def state(self) -> dict[str, Any]:
        return {"least": {self.known()} if self.mistake == "set" else self.known()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.least = 0.0 if self.mistake == "state" else state["least"]

    @property
    def format(self) -> Format:
        self.known()
        return Format("sequence", width=1)

    def prepare(self, value: Any) -> Any:
        least = self.known()
        if isinstance(value, str):
            raise ValueError("no") if self.mistake == "errors" else DecodeError("expected a list of numbers")
        noise = np.random.default_rng().random() if self.mistake == "random" else 0
        return np.array(value, dtype=np.float32)[:, None] - least + noise

    def blank(self) -> Any:
        return np.zeros((1, 1), dtype=np.float32)

    def augment(self, item: Any, rng: np.random.Generator) -> Any:
        new = item if self.mistake == "in place" else item.copy()
        new += rng.standard_normal(item.shape)
        return new

    @property
    def corruptions(self) -> Mapping[str, Corruption]:
        return {"noise": Corruption("sd", (0.5,), self.noisy)}

    def noisy(self, item: Any, deviation: float, rng: np.random.Generator) -> Any:
        drawn = np.random.default_rng() if self.mistake == "own chance" else rng
        new = item if self.mistake == "damages in place" else item.copy()
        new += (0 if self.mistake == "harmless" else deviation) * drawn.standard_normal(item.shape)
        return new

    def length(self, item: Any) -> int:
        return 1 if self.mistake == "length" else len(item)

    def collate(self, items: Sequence[Any]) -> Inputs:
        longest = max(len(item) for item in items)
        values = torch.zeros(len(items), longest, 1, dtype=torch.float64 if self.mistake == "double" else torch.float32)
        mask = torch.zeros(len(items), longest, dtype=torch.bool)
        for row, item in enumerate(items):
            values[row, : len(item)], mask[row, : len(item)] = torch.tensor(item), True
        return {"values": values, "mask": mask}


class Mean(DecisionFusion):
    """The mean of values."""

    def __init__(self, mistake: str) -> None:
        super().__init__()
        self.mistake = mistake

    def forward(self, scores: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
        stacked, there = torch.stack(list(scores.values())), torch.stack(list(present.values()))
        there = there.view(*stacked.shape[:2], *[1] * (stacked.dim() - 2))
        if self.mistake == "reads absent":
            return stacked.mean(dim=0)
        return stacked.masked_fill(~there, 0).sum(dim=0) / there.sum(dim=0).clamp(min=1)


def decision(sources: Mapping[str, Any], mistake: str) -> Mean:
    if mistake != "any space" and next(iter(sources.values())).format.kind != "values":
        raise ConfigError("values alone")
    return Mean(mistake)


class Error:
    """The mean absolute error."""

    larger_is_better = False

    def __init__(self, empty: float) -> None:
        self.total, self.count, self.empty = 0.0, 0, empty

    def update(self, output: Any, target: Any) -> None:
        counts = output.present & target["present"]
        self.total += float((output.scores - target["values"]).abs()[counts].sum())
        self.count += int(counts.sum())

    def merge(self, other: Error) -> None:
        self.total, self.count = self.total + other.total, self.count + other.count

    def compute(self) -> float:
        return self.total / self.count if self.count else self.empty


class BadHead(ScoringHead):
    """A number from the pooled vector."""

    space = "values"

    def __init__(self, sources: Mapping[str, Any], mistake: str) -> None:
        super().__init__()
        (source,) = sources.values()
        self.mistake, self.layer = mistake, nn.Linear(source.pooled_width, 1)

    def score(self, encoding: Encoding) -> Tensor:
        scores: Tensor = self.layer(encoding.pooled).float()
        return scores

    def loss(self, scores: Tensor, target: Inputs, counts: Tensor) -> tuple[Tensor, Tensor]:
        if self.mistake == "counts unknown":
            counts = torch.ones_like(counts)
        losses = (scores - target["values"]).square().sum(dim=1)
        total = losses.masked_fill(~counts, 0).sum()
        return (total / counts.sum() if self.mistake == "mean" else total), counts.sum()

    def decode(self, output: Any, target: Any) -> list[Prediction]:
        sure = 1.5 if self.mistake == "confidence" else None
        return [Prediction(number, sure) for number in target.decode({"values": output.scores})]

    def metrics(self) -> dict[str, Any]:
        return {"error": Error(0.0 if self.mistake == "metrics" else float("nan"))}
