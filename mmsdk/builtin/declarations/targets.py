"""Declarations of the built-in targets: label, labels, number, soft_label, answers, label_sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from mmsdk.builtin.declarations import recognition
from mmsdk.components import ModalityConfig
from mmsdk.fields import Positive

if TYPE_CHECKING:
    from mmsdk.interfaces import Modality
    from mmsdk.proposal import Column, Proposal


class LabelConfig(ModalityConfig):
    """One label per sample, out of those of the training samples."""

    type: Literal["label"] = "label"
    gives: ClassVar[str] = "label"
    targets: ClassVar[bool] = True

    @classmethod
    def recognises(cls, column: Column) -> Proposal | None:
        return recognition.label(column)

    def build(self) -> Modality:
        from mmsdk.builtin.modalities.labels import Label

        return Label()


class LabelsConfig(ModalityConfig):
    """Any number of labels per sample: a list, or text such as `red,green`."""

    type: Literal["labels"] = "labels"
    gives: ClassVar[str] = "labels"
    targets: ClassVar[bool] = True
    reads_lists: ClassVar[bool] = True

    separator: str = Field(",", min_length=1, description="what stands between the labels where they are one text")

    @classmethod
    def recognises(cls, column: Column) -> Proposal | None:
        return recognition.labels(column)

    def build(self) -> Modality:
        from mmsdk.builtin.modalities.labels import Labels

        return Labels(separator=self.separator)


class NumberConfig(ModalityConfig):
    """A number per sample, or a list of as many numbers in each sample."""

    type: Literal["number"] = "number"
    gives: ClassVar[str] = "number"
    targets: ClassVar[bool] = True
    reads_lists: ClassVar[bool] = True

    @classmethod
    def recognises(cls, column: Column) -> Proposal | None:
        return recognition.number(column)

    def build(self) -> Modality:
        from mmsdk.builtin.modalities.number import Number

        return Number()


class SoftLabelConfig(ModalityConfig):
    """A share for each label: a mapping from label to weight, or a list of votes."""

    type: Literal["soft_label"] = "soft_label"
    gives: ClassVar[str] = "soft_label"
    targets: ClassVar[bool] = True
    reads_lists: ClassVar[bool] = True

    def build(self) -> Modality:
        from mmsdk.builtin.modalities.soft_label import SoftLabel

        return SoftLabel()


class AnswersConfig(ModalityConfig):
    """What several people answered: a list of answers, or a mapping from answer to how many gave it."""

    type: Literal["answers"] = "answers"
    gives: ClassVar[str] = "answers"
    targets: ClassVar[bool] = True

    most: Positive = Field(3000, description="how many answers are classes: those that most people gave in training")

    def build(self) -> Modality:
        from mmsdk.builtin.modalities.answers import Answers

        return Answers(self.most)


class LabelSequenceConfig(ModalityConfig):
    """A label for each step of a sequence, as a list."""

    type: Literal["label_sequence"] = "label_sequence"
    gives: ClassVar[str] = "label_sequence"
    targets: ClassVar[bool] = True
    reads_lists: ClassVar[bool] = True

    max_length: Positive = Field(4096, description="in steps; longer sequences lose their end")

    def build(self) -> Modality:
        from mmsdk.builtin.modalities.label_sequence import LabelSequence

        return LabelSequence(max_length=self.max_length)


TARGETS: list[type[ModalityConfig]] = [
    LabelConfig,
    LabelsConfig,
    NumberConfig,
    SoftLabelConfig,
    AnswersConfig,
    LabelSequenceConfig,
]
