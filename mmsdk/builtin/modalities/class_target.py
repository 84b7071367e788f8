"""What the targets that are made of labels have in common: their classes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from mmsdk.builtin.modalities.classes import Classes
from mmsdk.builtin.modalities.fitted import fitted
from mmsdk.builtin.modalities.scalars import Label
from mmsdk.errors import DataError, DecodeError
from mmsdk.formats import Format
from mmsdk.interfaces import Modality


class ClassTarget(Modality):
    """A target whose labels are those of the training samples."""

    fits = True
    kind: ClassVar[str]
    fewest: ClassVar[int] = 2

    def __init__(self) -> None:
        self._classes: Classes | None = None

    @abstractmethod
    def labels_of(self, value: Any) -> list[Any]:
        """The raw labels in a raw value.

        Raises:
            DecodeError: the value is not what this target is made of.
        """

    def fit(self, values: Iterable[Any]) -> None:
        """Learn the classes. Values that cannot be read are passed over.

        Raises:
            DataError: there is nothing to choose from.
        """
        classes = Classes.learn(self._all_labels(values))
        if len(classes) < self.fewest:
            raise DataError(
                f"a target of type '{self.kind}' needs at least {self.fewest} different labels "
                f"in the training samples; found: {classes.summary()}"
            )
        self._classes = classes

    def _all_labels(self, values: Iterable[Any]) -> Iterator[Any]:
        for value in values:
            try:
                yield from self.labels_of(value)
            except DecodeError:
                continue

    @property
    def known(self) -> Classes:
        return fitted(self._classes, self)

    @property
    def classes(self) -> list[Label]:
        """The labels in the order of their ids."""
        return self.known.labels

    @property
    def format(self) -> Format:
        return Format(self.kind, vocabulary=len(self.known))

    def state(self) -> dict[str, Any]:
        return {"classes": self.classes}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._classes = Classes(state["classes"])
