"""The target answers: what several people said of one sample."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from mmsdk.builtin.modalities.classes import Classes
from mmsdk.builtin.modalities.scalars import finite_number, plain_label, shown
from mmsdk.builtin.modalities.soft_label import SoftLabel
from mmsdk.containers import Inputs
from mmsdk.errors import DataError, DecodeError

OTHERS = "(another answer)"


class Votes(NamedTuple):
    """counts [classes]: how many people gave each answer. people: how many there were, whatever they said."""

    counts: NDArray[np.float32]
    people: float


class Answers(SoftLabel):
    """What several people said: a list of answers, or a mapping from answer to how many gave it.

    Kind "answers": probabilities [n, classes] float32, the share of each class among those that are classes, zeros
    where none is; and for the accuracy of answers votes [n, classes] and people [n, 1]. The classes are the `most`
    answers that most people gave in the training samples; others are no class, but whoever gave them counts.
    """

    kind = "answers"

    def __init__(self, most: int = 3000) -> None:
        super().__init__()
        self.most = most

    def fit(self, values: Iterable[Any]) -> None:
        """Learn the classes. Values that cannot be read are passed over.

        Raises:
            DataError: there is nothing to choose from.
        """
        found: Counter[Any] = Counter()
        for value in values:
            try:
                found.update(self.counted(value))
            except DecodeError:
                continue
        often = sorted(found, key=lambda answer: (-found[answer], str(answer)))[: self.most]
        if len(often) < self.fewest:
            raise DataError(
                f"a target of type 'answers' needs at least {self.fewest} different answers in the training samples; "
                f"found: {Classes(often).summary()}"
            )
        self._classes = Classes.learn(often)

    def counted(self, value: Any) -> dict[Any, float]:
        """How many people gave each answer.

        Raises:
            DecodeError: the value is neither a list nor a mapping, nobody answered, or a number is none of people.
        """
        counts: dict[Any, float] = {}
        for answer in self.labels_of(value):
            people = finite_number(value[answer]) if isinstance(value, Mapping) else 1.0
            if people < 0:
                raise DecodeError(f"{people:g} people gave the answer {shown(answer)}: expected zero or more")
            label = str(plain_label(answer))
            counts[label] = counts.get(label, 0.0) + people
        if not sum(counts.values()) > 0:
            raise DecodeError(f"expected at least one answer, got {shown(value)}")
        return counts

    def prepare(self, value: Any) -> Votes:  # type: ignore[override]
        counts = self.counted(value)
        votes = np.zeros(len(self.known), dtype=np.float32)
        for place, label in enumerate(self.classes):
            votes[place] = counts.get(str(label), 0.0)
        return Votes(votes, sum(counts.values()))

    def blank(self) -> Votes:  # type: ignore[override]
        return Votes(np.zeros(len(self.known), dtype=np.float32), 1.0)

    def collate(self, items: Sequence[Votes]) -> Inputs:  # type: ignore[override]
        votes = torch.from_numpy(np.stack([item.counts for item in items]))  # [n, classes]
        people = torch.tensor([[item.people] for item in items])  # [n, 1]
        total = votes.sum(dim=1, keepdim=True)
        return {"probabilities": votes / total.where(total > 0, 1), "votes": votes, "people": people}

    def decode(self, tensors: Inputs) -> list[dict[str, float]]:
        """How many people gave each answer, by its text; those whose answer is no class together."""
        names = [str(label) for label in self.classes]
        rows = zip(tensors["votes"].tolist(), tensors["people"][:, 0].tolist(), strict=True)
        return [{**dict(zip(names, votes, strict=True)), OTHERS: people - sum(votes)} for votes, people in rows]
