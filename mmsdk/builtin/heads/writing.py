"""What heads that write a text have in common, whatever network says the next symbol."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mmsdk.builtin.heads.generation import Generated, Generation, generate
from mmsdk.builtin.layers.decoders import State
from mmsdk.containers import Encoding, HeadOutput, Inputs, Step
from mmsdk.interfaces import Metric, Modality, Prediction, TaskHead
from mmsdk.metrics import Bleu, ExactMatch, Perplexity, RougeL, TokenAccuracy, TokenF1

OF_TEXTS: Mapping[str, Callable[[], Metric]] = {
    "exact_match": ExactMatch,
    "token_f1": TokenF1,
    "rouge_l": RougeL,
    "bleu": Bleu,
}
"""Metrics of the texts that are written: to have them, an evaluation has to write."""


class WritingHead(TaskHead):
    """Base of heads that say the target's tokens {ids, mask} [batch, length], each after the ones before, and an end.

    The end is a symbol of its own, the last one, beside the `vocabulary` of the target. The loss is cross-entropy over
    all tokens and the end of each text, which are what counts, with the true tokens as inputs.

    label_smoothing: the share of each target that is spread evenly over all symbols (Szegedy et al., "Rethinking the
    Inception Architecture for Computer Vision", 2016). generation: how texts are written; it can be set to something
    else at any time. metrics: names among `OF_TEXTS`.
    """

    def __init__(
        self,
        vocabulary: int,
        *,
        label_smoothing: float = 0.0,
        generation: Generation | None = None,
        metrics: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.end, self.label_smoothing, self.more_metrics = vocabulary, label_smoothing, tuple(metrics)
        self.generation = generation or Generation()

    @abstractmethod
    def teach(self, reads: Mapping[str, Encoding], ids: Tensor) -> Tensor:
        """ids [batch, length] -> logits [batch, length + 1, symbols] float32, each after the ids before it."""

    @abstractmethod
    def begin(self, reads: Mapping[str, Encoding]) -> tuple[Tensor, State]:
        """Logits [batch, symbols] float32 of the first symbols, and the state before these are chosen."""

    @abstractmethod
    def advance(self, last: Tensor, state: State) -> tuple[Tensor, State]:
        """The last symbols [rows] -> logits [rows, symbols] float32 of the next ones, and the state.

        What follows an end does not matter, but it is asked for.
        """

    def forward(self, reads: Mapping[str, Encoding], target: Inputs | None, step: Step) -> HeadOutput:
        """scores [batch]: the mean log-probability of a symbol, of the target where there is one, else of what is said.

        Texts are written where there is no target, and in an evaluation whose metrics need them.
        """
        present = torch.stack([encoding.present for encoding in reads.values()]).any(dim=0)  # [batch]
        if target is None:
            said = self.write(reads, present)
            return HeadOutput(scores=said.mean, present=present, generated=_tensors(said))
        output = self._judged(reads, present, target)
        if self.more_metrics and not torch.is_grad_enabled():
            return output._replace(generated={**output.generated, **_tensors(self.write(reads, present))})
        return output

    @torch.no_grad()
    def write(self, reads: Mapping[str, Encoding], present: Tensor) -> Generated:
        """A text for each row that is `present` [batch] bool, as `generation` says."""
        logits, state = self.begin(reads)
        return generate(self.advance, logits, state, present, self.generation)

    def _judged(self, reads: Mapping[str, Encoding], present: Tensor, target: Inputs) -> HeadOutput:
        """The loss with the true tokens as inputs; how many symbols there are, and how many it would have said."""
        ids, lengths = target["ids"], target["mask"].sum(dim=1, keepdim=True)  # [batch, length], [batch, 1]
        log_shares = self.teach(reads, ids).log_softmax(dim=2)  # [batch, length + 1, symbols]
        places = torch.arange(ids.shape[1] + 1, device=ids.device)
        true = torch.where(places == lengths, self.end, F.pad(ids, (0, 1)))  # [batch, length + 1]
        counts = (places <= lengths) & (present & target["present"])[:, None]
        right = log_shares.gather(2, true[..., None])[..., 0]
        smooth = right
        if self.label_smoothing:
            smooth = (1 - self.label_smoothing) * right + self.label_smoothing * log_shares.mean(dim=2)
        symbols = counts.sum(dim=1)  # [batch]
        output = HeadOutput(
            loss=-smooth.masked_fill(~counts, 0).sum(),
            count=symbols.sum(),
            scores=right.masked_fill(~counts, 0).sum(dim=1) / symbols.clamp(min=1),
            present=present,
        )
        if torch.is_grad_enabled():
            return output
        hits = ((log_shares.argmax(dim=2) == true) & counts).sum(dim=1)
        return output._replace(generated={"symbols": symbols, "right": hits})

    def decode(self, output: HeadOutput, target: Modality | None) -> list[Prediction]:
        """The texts; as confidence the geometric mean of the probabilities of their symbols."""
        assert target is not None
        texts = target.decode({name: output.generated[name] for name in ("ids", "mask")})
        shares = output.generated["confidence"].tolist()
        return [Prediction(text, share) for text, share in zip(texts, shares, strict=True)]

    def metrics(self) -> Mapping[str, Metric]:
        """Token accuracy and perplexity are given the true tokens before; the others judge what is written alone."""
        written = {name: OF_TEXTS[name]() for name in self.more_metrics}
        return {"token_accuracy": TokenAccuracy(), "perplexity": Perplexity(), **written}


def _tensors(said: Generated) -> dict[str, Tensor]:
    return {"ids": said.ids, "mask": said.mask, "confidence": said.mean.exp()}
