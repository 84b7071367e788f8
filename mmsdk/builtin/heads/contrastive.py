"""`contrastive`: embeddings of one sample near one another, those of different samples apart."""

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
    sample's vector of one stream has to find, among those of all samples of all processes, the vector of the
    other stream. A sample counts for a pair of streams where it has both. Samples with the same target {ids
    [batch]} are not held against one another. The table of similarities has a row per own sample, a column
    per sample of all processes.

    widths: of the pooled vector of each source. width: of the embeddings.
    """

    def __init__(self, widths: Mapping[str, int], width: int = 128) -> None:
        super().__init__()
        self.project = Parts(
            {name.replace(".", "_"): nn.Linear(source, width) for name, source in widths.items()}
        )
        self.log_scale = nn.Parameter(torch.tensor([math.log(1 / 0.07)]))  # where CLIP begins

    def forward(self, reads: Mapping[str, Encoding], target: Inputs | None, step: Step) -> HeadOutput:
        """pooled [batch, pooled_width] of each source -> embeddings [batch, width] of length 1, zeros where absent."""
        embeddings = {
            name: F.normalize(project(encoding.pooled).float(), dim=1).masked_fill(~encoding.present[:, None],
            0) for (name, encoding), project in zip(reads.items(), self.project.values(), strict=True) }
            present = {name: encoding.present for name, encoding in reads.items()} every = {name:
            step.gather(vectors) for name, vectors in embeddings.items()} everywhere = {name:
            step.gather(rows) for name, rows in present.items()} apart = _apart(target,
            next(iter(present.values())), step)  # [batch, all] losses, counts = [], [] for first, second in
            combinations(reads, 2): rows, columns = present[first] & present[second], everywhere[first] &
            everywhere[second] for one, other in ((first, second), (second, first)): similar = self.scale() *
            embeddings[one] @ every[other].T  # [batch, all] losses.append(_cross_entropy(similar, apart &
            columns, step.offset).masked_fill(~rows, 0).sum() / 2) counts.append(rows.sum()) return
            HeadOutput( loss=torch.stack(losses).sum(), count=torch.stack(counts).sum(),
            present=torch.stack(list(present.values())).any(dim=0), embeddings=embeddings, )

    def scale(self) -> Tensor:
        """What similarities are multiplied with, [1]: the inverse of the temperature, at most 100 as in CLIP."""
        return self.log_scale.clamp(max=math.log(100)).exp()

    def metrics(self) -> Mapping[str, Metric]:
        """Of the first two streams, over the whole split."""
        return {
            "recall_at_1": Recall(1),
            "recall_at_5": Recall(5),
            "recall_at_10": Recall(10),
            "mean_reciprocal_rank": MeanReciprocalRank(),
        }


def _apart(target: Inputs | None, like: Tensor, step: Step) -> Tensor:
    """Which of all samples each own one is to be told from: [batch, all] bool. Not from those of its own target."""
    if target is None:
        return torch.ones(len(like), len(step.gather(like)), dtype=torch.bool, device=like.device)
    ids = target["ids"].masked_fill(~target["present"], -1)
    return (ids[:, None] != step.gather(ids)) | (ids[:, None] < 0)


def _cross_entropy(similar: Tensor, others: Tensor, offset: int) -> Tensor:
    """-log softmax(similar) at each row's own column, among that column and `others` [batch, all]: [batch]."""
    own = torch.arange(len(similar), device=similar.device)[:, None] + offset  # [batch, 1]
    allowed = others.scatter(1, own, True)
    return similar.masked_fill(~allowed, -torch.inf).logsumexp(dim=1) - similar.gather(1, own)[:, 0]
