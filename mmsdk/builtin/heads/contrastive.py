"""`contrastive`: the embeddings of one sample near one another, those of different samples apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmsdk.builtin.heads.similarities import Table, log_sigmoid, log_sum_exp
from mmsdk.containers import Encoding, HeadOutput, Inputs, Step
from mmsdk.interfaces import Metric, TaskHead
from mmsdk.metrics import MeanReciprocalRank, MedianRank, Recall
from mmsdk.modules import Parts

BEGINNING = {"infonce": 0.07, "siglip": 0.1}
"""The temperature that the papers began with."""


class Contrastive(TaskHead):
    """Compares each two of the streams that are read, with a learned temperature t: similarities are s / t.

    "infonce": each sample's vector of one stream has to tell the same sample's vector of the other stream from those of
    all other samples, of all processes, in both directions: cross-entropy over rows and over columns (Radford et al.,
    "Learning Transferable Visual Models From Natural Language Supervision", 2021; CLIP).
    "siglip": for each two samples, whether they are the same one, as a yes or no of its own: -log sigmoid(z (s / t +
    b)) with z = 1 for the same one and else -1, b learned (Zhai et al., "Sigmoid Loss for Language Image Pre-Training",
    2023).

    A sample counts for two streams where it has both. Samples with the same target {ids [batch]} need not be told
    apart. Cost: similarities of the own samples with all samples, per two streams; some rows of them at a time, so that
    memory does not grow with their number.

    widths: of the pooled vector of each source. width: of the embeddings; None takes the pooled vectors as they are.
    temperature: where it begins. pairs: which streams are compared; by default each two.
    """

    embeds = True

    def __init__(
        self,
        widths: Mapping[str, int],
        width: int | None = 128,
        *,
        loss: Literal["infonce", "siglip"] = "infonce",
        temperature: float | None = None,
        pairs: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__()
        self.project: Parts[nn.Module] = Parts(
            {
                name.replace(".", "-"): nn.Linear(source, width) if width is not None else nn.Identity()
                for name, source in widths.items()
            }
        )
        self.pairs = list(pairs) or list(combinations(widths, 2))
        self.log_scale = nn.Parameter(torch.tensor([-math.log(temperature or BEGINNING[loss])]))
        # So that at first, when nearly all pairs are different ones, "different" is the answer to everything.
        self.bias = nn.Parameter(torch.tensor([-10.0])) if loss == "siglip" else None

    def forward(self, reads: Mapping[str, Encoding], target: Inputs | None, step: Step) -> HeadOutput:
        """pooled [batch, pooled_width] of each source -> embeddings [batch, width].

        Embeddings have length 1, or 0 where the source is absent.
        """
        own = {
            name: _unit(project(encoding.pooled), encoding.present)
            for (name, encoding), project in zip(reads.items(), self.project.values(), strict=True)
        }
        present = {name: encoding.present for name, encoding in reads.items()}  # [batch]
        if torch.compiler.is_exporting():  # a graph embeds; it has no loss
            return HeadOutput(present=torch.stack(list(present.values())).any(dim=0), embeddings=own)
        every = {name: step.gather(vectors) for name, vectors in own.items()}  # [all, width]
        everywhere = {name: step.gather(rows) for name, rows in present.items()}  # [all]
        ids = None if target is None else _ids(target, step)
        losses, counts = [], []
        for first, second in self.pairs:
            both, columns = present[first] & present[second], everywhere[first] & everywhere[second]
            table = Table(both, columns, ids, step.offset)
            losses.append(self._loss((own[first], own[second]), (every[first], every[second]), table))
            counts.append(both.sum())
        return HeadOutput(
            loss=torch.stack(losses).sum(),
            count=torch.stack(counts).sum(),
            present=torch.stack(list(present.values())).any(dim=0),
            embeddings=own,
        )

    def _loss(self, own: tuple[Tensor, Tensor], every: tuple[Tensor, Tensor], table: Table) -> Tensor:
        """The sum over the own rows that have both streams. own: each [batch, width]; every: each [all, width]."""
        scale = self.log_scale.clamp(max=math.log(100)).exp()  # bounded as in CLIP
        if self.bias is not None:
            return log_sigmoid(own[0], every[1], scale, self.bias, table)
        whole = len(own[0]) == len(every[0])  # no other process has rows, of which the columns are made, too
        there, back = log_sum_exp(own[0], every[1], scale, table, of_columns=whole)
        if not whole:
            back, _ = log_sum_exp(own[1], every[0], scale, table, of_columns=False)
        same = scale * (own[0] * own[1]).sum(dim=1)  # [batch]
        return ((there + back) / 2 - same).masked_fill(~table.rows, 0).sum()

    def remark(self, loss: float, batch: int) -> str | None:
        """InfoNCE at log(batch) is that of guessing."""
        if self.bias is not None or loss < 0.98 * math.log(max(batch, 2)):
            return None
        return (
            f"the loss {loss:.3f} is still that of guessing, log({batch}) = {math.log(batch):.3f}: do the streams of a "
            "row belong together? Try another learning_rate, more warmup, or a larger batch_size"
        )

    def metrics(self) -> Mapping[str, Metric]:
        """Of the first pair, over the whole split; where no direction is named, the mean of both."""
        pair = first, second = self.pairs[0]
        return {
            "recall_at_1": Recall(1, pair),
            "recall_at_5": Recall(5, pair),
            "recall_at_10": Recall(10, pair),
            "mean_reciprocal_rank": MeanReciprocalRank(pair),
            "median_rank": MedianRank(pair),
            f"recall_at_1_{first}_to_{second}": Recall(1, pair, "there"),
            f"recall_at_1_{second}_to_{first}": Recall(1, pair, "back"),
        }


def _unit(vectors: Tensor, present: Tensor) -> Tensor:
    """vectors [batch, width] at length 1 in float32, or zeros where absent."""
    return F.normalize(vectors.float(), dim=1).masked_fill(~present[:, None], 0)


def _ids(target: Inputs, step: Step) -> tuple[Tensor, Tensor]:
    """The target of the own rows [batch] and of all [all]; where it is unknown, one that no other row has."""
    everywhere = step.gather(target["ids"].masked_fill(~target["present"], -1))
    numbers = -1 - torch.arange(len(everywhere), device=everywhere.device)
    known = torch.where(everywhere < 0, numbers, everywhere)
    return known[step.offset : step.offset + len(target["ids"])], known
