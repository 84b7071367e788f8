"""`matching`: whether the streams of a sample belong together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mmsdk.builtin.heads.layers import layers
from mmsdk.containers import Encoding, HeadOutput, Inputs, Step
from mmsdk.interfaces import Metric, Modality, Prediction, TaskHead
from mmsdk.metrics import PairAccuracy

NOBODY = -100.0
"""Stands in the scores where a row has no one to be mistaken for."""
FUSED = "fused"


class Matching(TaskHead):
    """Tells a sample's streams, fused, from a fusion with another sample's: image-text matching.

    Li et al., "Align before Fuse: Vision and Language Representation Learning with Momentum Distillation", 2021
    (ALBEF). Each row is judged three times: as it is, with the last stream of another row, and with the other streams
    of another row. That row is drawn by the similarity of the embeddings that a head before this one gave, such as a
    contrastive one, so that hard ones come often; without such a head any row will do. Outside of training it is the
    hardest one. Rows with the same value or the same target {ids [batch]} are never drawn. Each process draws among its
    own rows.

    width: of the fused pooled vector. temperature: how much harder ones are preferred; the lower the more.
    """

    def __init__(self, width: int, hidden: Sequence[int] = (), dropout: float = 0.0, temperature: float = 0.1) -> None:
        super().__init__()
        self.judge = layers(width, hidden, 1, dropout)
        self.temperature = temperature

    def forward(self, reads: Mapping[str, Encoding], target: Inputs | None, step: Step) -> HeadOutput:
        """Streams [batch, ...] -> log-odds [batch, 3] that they match: as they are, and of the two others."""
        streams = {name: encoding for name, encoding in reads.items() if name != FUSED}
        *first, last = streams
        present = torch.stack([encoding.present for encoding in streams.values()]).all(dim=0)  # [batch]
        allowed = _strangers(present, streams, target, step)  # [batch, batch]
        similar = _similar(list(streams), step, len(present))
        scores = [self._score(streams, step, present)]
        for names, table in (([last], similar), (first, similar.T)):
            chosen = self._chosen(table, allowed, step)  # [batch]
            mixed = streams | {name: Encoding(*(part[chosen] for part in streams[name])) for name in names}
            scores.append(self._score(mixed, step, allowed.any(dim=1)))
        judged = torch.stack(scores, dim=1)  # [batch, 3]
        right = torch.zeros_like(judged)
        right[:, 0] = 1
        losses = F.binary_cross_entropy_with_logits(judged, right, reduction="none")
        counts = judged > NOBODY
        return HeadOutput(losses.masked_fill(~counts, 0).sum(), counts.sum(), judged, present)

    def _score(self, streams: Mapping[str, Encoding], step: Step, rows: Tensor) -> Tensor:
        """[batch] log-odds, NOBODY outside of `rows`."""
        odds: Tensor = self.judge(step.fuse(streams).encoding.pooled)[:, 0].float()
        return odds.clamp(min=NOBODY / 2).masked_fill(~rows, NOBODY)

    def _chosen(self, similar: Tensor, allowed: Tensor, step: Step) -> Tensor:
        """For each row another one, [batch]; any where none is allowed."""
        hard = (similar / self.temperature).masked_fill(~allowed, -torch.inf)
        if step.generator is None:
            return hard.argmax(dim=1)
        shares = torch.where(allowed.any(dim=1, keepdim=True), hard, 0).softmax(dim=1)
        return shares.multinomial(1, generator=step.generator)[:, 0]

    def decode(self, output: HeadOutput, target: Modality | None) -> list[Prediction]:
        """Whether the streams of each row match."""
        assert output.scores is not None
        shares = output.scores[:, 0].sigmoid().tolist()
        return [Prediction(share >= 0.5, max(share, 1 - share), {"match": share}) for share in shares]

    def metrics(self) -> Mapping[str, Metric]:
        return {"accuracy": PairAccuracy(NOBODY)}


def _strangers(present: Tensor, streams: Mapping[str, Encoding], target: Inputs | None, step: Step) -> Tensor:
    """Which other rows are certainly other ones: [batch, batch] bool."""
    allowed = present & present[:, None]
    same = torch.eye(len(present), dtype=torch.bool, device=present.device)
    for name in streams:
        if name in step.rows:
            same = same | (step.rows[name] == step.rows[name][:, None])
    if target is not None:
        known = target["present"] & target["present"][:, None]
        same = same | (known & (target["ids"] == target["ids"][:, None]))
    return allowed & ~same


def _similar(names: Sequence[str], step: Step, batch: int) -> Tensor:
    """[batch, batch] of the first stream with the last one, without gradient; zeros where no head gave any."""
    for output in step.outputs.values():
        if {names[0], names[-1]} <= output.embeddings.keys():
            first, last = (output.embeddings[name].detach() for name in (names[0], names[-1]))
            return first @ last.T
    some = next(iter(step.rows.values()), None)
    return torch.zeros(batch, batch, device=some.device if some is not None else None)
