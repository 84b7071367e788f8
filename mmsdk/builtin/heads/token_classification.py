"""`token_classification`: one label per token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from mmsdk.builtin.heads.layers import layers
from mmsdk.builtin.heads.target_labels import judged, labels_of
from mmsdk.containers import Encoding, HeadOutput, Inputs, Step
from mmsdk.interfaces import Metric, Modality, Prediction, TaskHead
from mmsdk.metrics import Accuracy, extra_metrics


class TokenClassification(TaskHead):
    """Log-probabilities of the classes for each token of one source, trained with cross-entropy.

    The target is {ids, mask}, each [batch, target length]: the first label belongs to the first token, and so
    on. Where one of the two is longer, what goes beyond the shorter one is ignored. metrics: names of further
    metrics, as for `extra_metrics`.
    """

    def __init__(
        self,
        width: int,
        classes: int,
        hidden: Sequence[int] = (),
        dropout: float = 0.0,
        metrics: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.classes, self.more_metrics = classes, tuple(metrics)
        self.layers = layers(width, hidden, classes, dropout)

    def forward(self, reads: Mapping[str, Encoding], target: Inputs | None, step: Step) -> HeadOutput:
        """tokens [batch, length, width] -> scores [batch, length, classes]; zeros where there is no token."""
        (encoding,) = reads.values()
        logits: Tensor = self.layers(encoding.tokens)  # [batch, length, classes]
        scores = logits.float().log_softmax(dim=2).masked_fill(~encoding.mask[..., None], 0)
        output = HeadOutput(scores=scores, present=encoding.present)
        if target is None:
            return output
        length = min(scores.shape[1], target["ids"].shape[1])
        counts = encoding.mask[:, :length] & target["mask"][:, :length] & target["present"][:, None]
        right = scores[:, :length].gather(2, target["ids"][:, :length, None])[..., 0]  # [batch, length]
        return output._replace(loss=-right.masked_fill(~counts, 0).sum(), count=counts.sum())

    def decode(self, output: HeadOutput, target: Modality | None) -> list[Prediction]:
        """The most probable label of each token as a list, None where there is no token; `steps` tells more of each."""
        assert output.scores is not None
        labels, found = labels_of(target), []
        for scores in output.scores:  # [length, classes]
            mask = scores.any(dim=1)  # zeros where there is no token
            length = int(mask.nonzero().amax()) + 1 if mask.any() else 0
            rows = zip(scores[:length].exp().tolist(), mask.tolist(), strict=False)
            steps = [judged(labels, shares) if there else None for shares, there in rows]
            found.append(Prediction([step and step.value for step in steps], steps=steps))
        return found

    def metrics(self) -> Mapping[str, Metric]:
        return {
            "accuracy": Accuracy(self.classes),
            **extra_metrics(self.more_metrics, "log_probabilities", self.classes),
        }
