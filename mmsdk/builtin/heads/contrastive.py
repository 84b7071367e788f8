"""`contrastive`: the embeddings of one sample near one another, those of different samples apart."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmsdk.containers import Encoding, HeadOutput, Inputs, Step
from mmsdk.interfaces import Metric, TaskHead
from mmsdk.metrics import MeanReciprocalRank, Recall
from mmsdk.modules import Parts


class Contrastive(TaskHead):
    """InfoNCE in both directions between each two of the streams that are read, with a learned temperature.

    Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021 (CLIP). Each
    sample's vector of one stream has to tell the same sample's vector of the other stream from those of all
    other samples, of all processes. A sample counts for two streams where it has both. Samples with the same
    target {ids [batch]} need not be told apart. Cost: similarities of the own samples with all samples, per
    two streams.

    widths: of the pooled vector of each source. width: of the embeddings; None takes the pooled vectors as they are.
    temperature: where it begins; CLIP began with 0.07.
    """

    embeds = True

    def __init__(self, widths: Mapping[str, int], width: int | None = 128, temperature: float = 0.07) -> None:
        super().__init__()
        self.project: Parts[nn.Module] = Parts(
            {
                name.replace(".", "-"): nn.Linear(source, width) if width is not None else nn.Identity()
                for name, source in widths.items()
            }
        )
        self.log_scale = nn.Parameter(torch.tensor([-math.log(temperature)]))

    def forward(self, reads: Mapping[str, Encoding], target: Inputs | None, step: Step) -> HeadOutput:
        """pooled [batch, pooled_width] of each source -> embeddings [batch, width].

        Embeddings have length 1, or 0 where the source is absent.
        """
        own = {
            name: _unit(project(encoding.pooled), encoding.present)
            for (name, encoding), project in zip(reads.items(), self.project.values(), strict=True)
        }
        present = {name: encoding.present for name, encoding in reads.items()}  # [batch]
        every = {name: step.gather(vectors) for name, vectors in own.items()}  # [all, width]
        everywhere = {name: step.gather(rows) for name, rows in present.items()}  # [all]
        rivals = None if target is None else _rivals(target, step)  # [batch, all]
        losses, counts = [], []
        for first, second in combinations(reads, 2):
            both, columns = present[first] & present[second], everywhere[first] & everywhere[second]
            others = columns if rivals is None else columns & rivals
            for one, other in ((first, second), (second, first)):
                each = self._losses(own[one], every[other], others, step.offset)  # [batch]
                losses.append(each.masked_fill(~both, 0).sum() / 2)
            counts.append(both.sum())
        return HeadOutput(
            loss=torch.stack(losses).sum(),
            count=torch.stack(counts).sum(),
            present=torch.stack(list(present.values())).any(dim=0),
            embeddings=own,
        )

    def _losses(self, own: Tensor, every: Tensor, others: Tensor, offset: int) -> Tensor:
        """-log softmax of each row's similarity to its own column, among that one and `others`: [batch].

        own [batch, width], every [all, width], others [all] or [batch, all] bool.
        """
        scale = self.log_scale.clamp(max=math.log(100)).exp()  # bounded as in CLIP
        with torch.autocast(own.device.type, enabled=False):  # a hundredfold, rounding in bfloat16 would count
            similar = scale * own @ every.T  # [batch, all]
        numbers = torch.arange(len(every), device=own.device)
        diagonal = numbers == numbers[: len(own), None] + offset  # [batch, all]
        among = similar.masked_fill(~(others | diagonal), -torch.inf)
        return among.logsumexp(dim=1) - similar.diagonal(offset)

    def metrics(self) -> Mapping[str, Metric]:
        """Of the first two streams, over the whole split."""
        return {
            "recall_at_1": Recall(1),
            "recall_at_5": Recall(5),
            "recall_at_10": Recall(10),
            "mean_reciprocal_rank": MeanReciprocalRank(),
        }


def _unit(vectors: Tensor, present: Tensor) -> Tensor:
    """vectors [batch, width] at length 1 in float32, or zeros where absent."""
    return F.normalize(vectors.float(), dim=1).masked_fill(~present[:, None], 0)


def _rivals(target: Inputs, step: Step) -> Tensor:
    """Which of all samples have another target than each own one, or none: [batch, all] bool."""
    ids = target["ids"].masked_fill(~target["present"], -1)
    return (ids[:, None] != step.gather(ids)) | (ids[:, None] < 0)
