"""`classification`: one label of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor

from mmsdk.builtin.heads.layers import layers
from mmsdk.builtin.heads.target_labels import judged, labels_of
from mmsdk.containers import Encoding, HeadOutput, Inputs
from mmsdk.interfaces import Metric, Modality, Prediction, ScoringHead
from mmsdk.metrics import (
    Accuracy,
    BalancedAccuracy,
    CalibrationError,
    Confidence,
    LogLoss,
    MacroF1,
    VqaAccuracy,
    extra_metrics,
)


class Classification(ScoringHead):
    """Log-probabilities of the classes from the pooled vector, trained with cross-entropy.

    The target is a label {ids [batch]} or a share for each label {probabilities [batch, classes]}.

    label_smoothing: the share of each target that is spread evenly over all classes (Szegedy et al.,
    "Rethinking the Inception Architecture for Computer Vision", 2016). metrics: names of further metrics, as
    for `extra_metrics`, or `vqa_accuracy`, for a target that has "votes" and "people" beside its probabilities.
    """

    space = "log_probabilities"

    def __init__(
        self,
        width: int,
        classes: int,
        hidden: Sequence[int] = (),
        dropout: float = 0.0,
        label_smoothing: float = 0.0,
        metrics: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.classes, self.label_smoothing, self.more_metrics = classes, label_smoothing, tuple(metrics)
        self.layers = layers(width, hidden, classes, dropout)

    def score(self, encoding: Encoding) -> Tensor:
        """pooled [batch, width] -> [batch, classes] float32, whatever the precision of the training."""
        logits: Tensor = self.layers(encoding.pooled)
        return logits.float().log_softmax(dim=1)

    def loss(self, scores: Tensor, target: Inputs, counts: Tensor) -> tuple[Tensor, Tensor]:
        """The sum of the cross-entropies, in nats, of the rows that count; and how many these are."""
        if "probabilities" in target:
            shares = target["probabilities"]  # [batch, classes]
        else:
            shares = F.one_hot(target["ids"], self.classes)
        smooth = (1 - self.label_smoothing) * shares + self.label_smoothing / self.classes
        losses = -(smooth * scores).sum(dim=1)  # [batch]
        return losses.masked_fill(~counts, 0).sum(), counts.sum()

    def decode(self, output: HeadOutput, target: Modality | None) -> list[Prediction]:
        """The most probable label, its probability, and those of all labels by their text."""
        assert output.scores is not None
        labels = labels_of(target)
        return [judged(labels, shares) for shares in output.scores.exp().tolist()]

    def metrics(self) -> Mapping[str, Metric]:
        more = [name for name in self.more_metrics if name != "vqa_accuracy"]
        answers = {"vqa_accuracy": VqaAccuracy()} if "vqa_accuracy" in self.more_metrics else {}
        return {
            "accuracy": Accuracy(self.classes),
            "balanced_accuracy": BalancedAccuracy(self.classes),
            "macro_f1": MacroF1(self.classes),
            "log_loss": LogLoss(),
            "ece": CalibrationError(),
            "confidence": Confidence(),
            **answers,
            **extra_metrics(more, self.space, self.classes),
        }
