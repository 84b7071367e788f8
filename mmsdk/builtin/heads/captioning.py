"""`captioning`: a text, written token by token."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmsdk.builtin.heads.generation import Generated, Generation, generate
from mmsdk.builtin.layers.decoders import Decoder, State
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


class Captioning(TaskHead):
    """A decoder that says the target's tokens {ids, mask} [batch, length], each after the ones before, and an end.

    The end is a symbol of its own, the last one, beside the `vocabulary` of the target. The first input is what a
    linear layer and a norm, whose bias is the start, make of the pooled vector. The loss is cross-entropy over all
    tokens and the end of each text, which are what counts, with the true tokens as inputs.

    decoder: of that width. label_smoothing: the share of each target that is spread evenly over all symbols (Szegedy
    et al., "Rethinking the Inception Architecture for Computer Vision", 2016). generation: how texts are written; it
    can be set to something else at any time. metrics: names among `OF_TEXTS`.
    """

    def __init__(
        self,
        pooled_width: int,
        vocabulary: int,
        decoder: Decoder,
        width: int,
        *,
        dropout: float = 0.0,
        label_smoothing: float = 0.0,
        generation: Generation | None = None,
        metrics: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.end, self.label_smoothing, self.more_metrics = vocabulary, label_smoothing, tuple(metrics)
        self.generation = generation or Generation()
        self.first = nn.Sequential(nn.Linear(pooled_width, width), nn.LayerNorm(width))
        self.embed = nn.Embedding(vocabulary, width)
        self.decoder = decoder
        self.dropout = nn.Dropout(dropout)
        self.symbols = nn.Linear(width, vocabulary + 1)

    def forward(self, reads: Mapping[str, Encoding], target: Inputs | None, step: Step) -> HeadOutput:
        """scores [batch]: the mean log-probability of a symbol, of the target where there is one, else of what is said.

        Texts are written where there is no target, and in an evaluation whose metrics need them.
        """
        (encoding,) = reads.values()
        if target is None:
            said = self.write(encoding)
            return HeadOutput(scores=said.mean, present=encoding.present, generated=_tensors(said))
        output = self._judged(encoding, target)
        if self.more_metrics and not torch.is_grad_enabled():
            return output._replace(generated={**output.generated, **_tensors(self.write(encoding))})
        return output

    def _judged(self, encoding: Encoding, target: Inputs) -> HeadOutput:
        """The loss with the true tokens as inputs; how many symbols there are, and how many it would have said."""
        ids, lengths = target["ids"], target["mask"].sum(dim=1, keepdim=True)  # [batch, length], [batch, 1]
        inputs = torch.cat([self._first(encoding), self.embed(ids)], dim=1)  # [batch, length + 1, width]
        logits, _ = self._logits(inputs, self.decoder.begin(encoding))  # [batch, length + 1, symbols]
        log_shares = logits.log_softmax(dim=2)
        places = torch.arange(ids.shape[1] + 1, device=ids.device)
        true = torch.where(places == lengths, self.end, F.pad(ids, (0, 1)))  # [batch, length + 1]
        counts = (places <= lengths) & (encoding.present & target["present"])[:, None]
        right = log_shares.gather(2, true[..., None])[..., 0]
        smooth = (1 - self.label_smoothing) * right + self.label_smoothing * log_shares.mean(dim=2)
        symbols = counts.sum(dim=1)  # [batch]
        output = HeadOutput(
            loss=-smooth.masked_fill(~counts, 0).sum(),
            count=symbols.sum(),
            scores=right.masked_fill(~counts, 0).sum(dim=1) / symbols.clamp(min=1),
            present=encoding.present,
        )
        if torch.is_grad_enabled():
            return output
        hits = ((log_shares.argmax(dim=2) == true) & counts).sum(dim=1)
        return output._replace(generated={"symbols": symbols, "right": hits})

    @torch.no_grad()
    def write(self, encoding: Encoding) -> Generated:
        """A text for each row, as `generation` says."""

        def advance(last: Tensor, state: State) -> tuple[Tensor, State]:
            inputs = self.embed(last.masked_fill(last == self.end, 0))[:, None]  # after the end nothing matters
            logits, state = self._logits(inputs, state)
            return logits[:, 0], state

        logits, state = self._logits(self._first(encoding), self.decoder.begin(encoding))
        return generate(advance, logits[:, 0], state, encoding.present, self.generation)

    def _first(self, encoding: Encoding) -> Tensor:
        first: Tensor = self.first(encoding.pooled)[:, None]  # [batch, 1, width]
        return first

    def _logits(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """inputs [rows, steps, width] -> [rows, steps, symbols] float32, and the state after them."""
        states, state = self.decoder(self.dropout(inputs), state)
        logits: Tensor = self.symbols(self.dropout(states))
        return logits.float(), state

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
