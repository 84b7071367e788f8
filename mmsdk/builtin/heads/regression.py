"""`regression`: a number, or several."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from mmsdk.builtin.heads.layers import layers
from mmsdk.containers import Encoding, HeadOutput, Inputs
from mmsdk.interfaces import Metric, Modality, Prediction, ScoringHead
from mmsdk.metrics import R2, MeanAbsoluteError, Pearson, RootMeanSquaredError, extra_metrics

LOSSES: Mapping[str, Callable[..., Tensor]] = {"mse": F.mse_loss, "mae": F.l1_loss, "huber": F.huber_loss}


class Regression(ScoringHead):
    """Standardised numbers from the pooled vector.

    The target is {values, center, scale}, each [batch, numbers]; scores are standardised like its values,
    metrics and predictions are in its own units.

    error: squared (mse), absolute (mae), or squared up to 1 and absolute beyond (huber).
    metrics: names of further metrics, as for `extra_metrics`.
    """

    space = "values"

    def __init__(
        self,
        width: int,
        numbers: int = 1,
        hidden: Sequence[int] = (),
        dropout: float = 0.0,
        error: Literal["mse", "mae", "huber"] = "mse",
        metrics: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.numbers, self.error, self.more_metrics = numbers, LOSSES[error], tuple(metrics)
        self.layers = layers(width, hidden, numbers, dropout)

    def score(self, encoding: Encoding) -> Tensor:
        """pooled [batch, width] -> [batch, numbers] float32."""
        scores: Tensor = self.layers(encoding.pooled)
        return scores.float()

    def loss(self, scores: Tensor, target: Inputs, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Each row's mean error, standardised, added up over the rows that count; and how many these are."""
        losses = self.error(scores, target["values"], reduction="none").mean(dim=1)  # [batch]
        return losses.masked_fill(~counts, 0).sum(), counts.sum()

    def decode(self, output: HeadOutput, target: Modality | None) -> list[Prediction]:
        """The number, or the list of numbers, in the target's own units."""
        assert output.scores is not None and target is not None
        return [Prediction(value) for value in target.decode({"values": output.scores})]

    def metrics(self) -> Mapping[str, Metric]:
        return {
            "mae": MeanAbsoluteError(),
            "rmse": RootMeanSquaredError(),
            "r2": R2(),
            "pearson": Pearson(),
            **extra_metrics(self.more_metrics, self.space, self.numbers),
        }
