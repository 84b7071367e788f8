"""`multilabel`: any number of labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor

from mmsdk.builtin.heads.layers import layers
from mmsdk.builtin.heads.target_labels import labels_of
from mmsdk.containers import Encoding, HeadOutput, Inputs
from mmsdk.interfaces import Metric, Modality, Prediction, ScoringHead
from mmsdk.metrics import MacroF1, MicroF1, SubsetAccuracy, extra_metrics


class Multilabel(ScoringHead):
    """Log-odds of each label from the pooled vector, each a yes-or-no question of its own.

    The target is {values [batch, labels]}, 0 or 1. threshold: the probability from which on a label is
    predicted. metrics: names of further metrics, as for `extra_metrics`.
    """

    space = "log_odds"

    def __init__(
        self,
        width: int,
        labels: int,
        hidden: Sequence[int] = (),
        dropout: float = 0.0,
        threshold: float = 0.5,
        metrics: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.labels, self.threshold, self.more_metrics = labels, threshold, tuple(metrics)
        self.layers = layers(width, hidden, labels, dropout)

    def score(self, encoding: Encoding) -> Tensor:
        """pooled [batch, width] -> [batch, labels] float32."""
        scores: Tensor = self.layers(encoding.pooled)
        return scores.float()

    def loss(self, scores: Tensor, target: Inputs, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Binary cross-entropies in nats, added up over labels and rows that count; and how many rows."""
        losses = F.binary_cross_entropy_with_logits(scores, target["values"], reduction="none").sum(dim=1)
        return losses.masked_fill(~counts, 0).sum(), counts.sum()

    def decode(self, output: HeadOutput, target: Modality | None) -> list[Prediction]:
        """The labels from the threshold on, and the probability of every label by its text."""
        assert output.scores is not None
        labels = labels_of(target)
        return [
            Prediction(
                [label for label, share in zip(labels, row, strict=True) if share >= self.threshold],
                scores=dict(zip(map(str, labels), row, strict=True)),
            )
            for row in output.scores.sigmoid().tolist()
        ]

    def metrics(self) -> Mapping[str, Metric]:
        return {
            "micro_f1": MicroF1(self.labels, self.threshold),
            "macro_f1": MacroF1(self.labels, self.threshold),
            "subset_accuracy": SubsetAccuracy(self.threshold),
            **extra_metrics(self.more_metrics, self.space, self.labels),
        }
