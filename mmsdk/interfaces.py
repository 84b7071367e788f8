"""The four interfaces: Modality, Encoder, FusionStrategy, TaskHead. Implementations; their configs are in `config`.

A raw value becomes tensors in a Modality, tokens in an Encoder, one Encoding in a FusionStrategy,
and a loss and predictions in a TaskHead.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from mmsdk.containers import Encoding, Fused, HeadOutput, Inputs, Step
from mmsdk.formats import Format

if TYPE_CHECKING:
    from PIL.Image import Image


class Corruption(NamedTuple):
    """A way in which items of a modality go bad, by degrees.

    unit: of the severities, as a person says it, such as "sd" or "dB". severities: from mild to severe.
    apply: (item, severity, rng) -> another item; `item` itself stays as it is, and all that is random comes from rng.
    """

    unit: str
    severities: Sequence[float]
    apply: Callable[[Any, float, np.random.Generator], Any]


class Modality(ABC):
    """Turns raw values into tensors, and tensors back into values. Of a stream, and of a target.

    A modality never sees None: an absent value is the pipeline's business.
    """

    fits: bool = False
    """Whether `fit` has to see training values before anything else works."""
    reads_files: bool = False
    """Whether a string is the path of a file; it then arrives as a Path, resolved against the data file's folder. So do
    those in a list."""

    takes_empty: ClassVar[bool] = False
    """Whether an empty list is a value (no label applies) rather than a missing one."""

    def fit(self, values: Iterable[Any]) -> None:  # noqa: B027
        """Learn what this modality needs (a vocabulary, means) in one pass over raw training values."""

    def state(self) -> dict[str, Any]:
        """What `fit` learned: JSON values and tensors. It is saved with the pipeline."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:  # noqa: B027
        """Take back what `state` gave."""

    @property
    @abstractmethod
    def format(self) -> Format:
        """What this modality gives; asked for after `fit` or `restore`."""

    @abstractmethod
    def prepare(self, value: Any) -> Any:
        """Decode one raw value into an item. Pure, so that items can be cached and made in worker processes.

        Raises:
            DecodeError: the value cannot be read; the message says why and what would be right.
        """

    @property
    def packs(self) -> bool:
        """Whether items of files are kept on disk, so that a file is decoded once: where `pack` is written."""
        return type(self).pack is not Modality.pack

    def pack(self, item: Any) -> Mapping[str, np.ndarray[Any, Any]]:
        """An item as arrays by name, as small as it goes without losing anything.

        Worth writing where `prepare` takes longer than reading that much, as of pictures and compressed sound.
        """
        raise NotImplementedError(f"{type(self).__name__} packs nothing")

    def unpack(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> Any:
        """What `pack` was given, bit for bit. The arrays are a part of a file: they stay as they are."""
        raise NotImplementedError(f"{type(self).__name__} packs nothing")

    @abstractmethod
    def blank(self) -> Any:
        """An item that stands in where a whole batch has no value."""

    @property
    def augments(self) -> bool:
        """Whether `augment`, as it is set, ever changes anything; where not, a frozen encoder sees each value once."""
        return type(self).augment is not Modality.augment

    def augment(self, item: Any, rng: np.random.Generator) -> Any:
        """A random variant of an item, for training. `item` itself stays as it is."""
        return item

    @property
    def corruptions(self) -> Mapping[str, Corruption]:
        """By name, the ways in which values go bad in practice; `mmsdk evaluate --corruptions` tells what they cost."""
        return {}

    def length(self, item: Any) -> int:
        """How long the item is, for batches of similar lengths."""
        return 1

    @abstractmethod
    def collate(self, items: Sequence[Any]) -> Inputs:
        """Stack items into tensors, batch first, with "mask" [n, length] bool where the kind has a length."""

    def decode(self, tensors: Inputs) -> list[Any]:
        """Tensors back into values a person reads; needed of modalities that serve as targets."""
        raise NotImplementedError(f"{type(self).__name__} does not decode")


class Encoder(nn.Module, ABC):
    """Encodes a modality's tensors.

    width: of the tokens. pooled_width: of the pooled vector.
    blocks: the layers in order of depth, for layer-wise rates, activation checkpointing and sharding.
    fixed: names of the parameters that no stage trains, such as pre-trained ones beside adapters.
    temperature: at which pre-training compared the pooled vectors with those of another encoder, as in CLIP.
    """

    width: int
    pooled_width: int
    temperature: float | None = None

    @property
    def blocks(self) -> Sequence[nn.Module]:
        return ()

    @property
    def fixed(self) -> Collection[str]:
        return ()

    @abstractmethod
    def forward(self, inputs: Inputs) -> Encoding:
        """inputs [n, ...] -> tokens [n, length, width], mask [n, length], pooled [n, pooled_width]."""

    def initialize(self) -> None:
        """Load pre-trained weights. Called for a fresh run, never when a saved pipeline is loaded."""


class FusionStrategy(nn.Module):
    """Either a `FeatureFusion` or a `DecisionFusion`."""


class FeatureFusion(FusionStrategy, ABC):
    """Joins the encodings of all streams, given in the order of the config, into one encoding."""

    width: int
    pooled_width: int

    @abstractmethod
    def forward(self, encodings: Mapping[str, Encoding]) -> Fused:
        """Every stream is in the mapping; a row whose mask is False is absent, its tensors are zeros."""

    def attention(self, encodings: Mapping[str, Encoding]) -> Mapping[str, Tensor]:
        """How much each token counted in the fused vector, [batch, length] of each stream, where the strategy attends.

        The shares of a row add up to 1 over all its streams, padding and absent streams have 0, and so has all of a row
        without any stream. Empty where a strategy has nothing of the kind.
        """
        return {}


class DecisionFusion(FusionStrategy, ABC):
    """Joins the scores of several sources; gives the same space back (log-probabilities, log-odds, values)."""

    @abstractmethod
    def forward(self, scores: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
        """scores [batch, ...] and present [batch] bool of each source -> [batch, ...]."""

    def fit(self, scores: Mapping[str, Tensor], target: Inputs, present: Mapping[str, Tensor]) -> None:
        """Learn from held-out scores; for rules that have something to learn.

        Called after each stage of a training, where the config's `learns` is True: with the scores of the valid split
        [rows, ...] of each source, in float32 on the processor, the target of these rows, which all have one, and which
        of them each source is present in. What is learned belongs into buffers, [1] at least, that are there from the
        beginning: they are saved with the pipeline. Before, the rule has to do without.
        """


@dataclass(frozen=True)
class Prediction:
    """What a head says of one sample.

    value: the label, labels, number, ...
    confidence: of `value`, in 0..1, where the head knows it.
    scores: per label, in 0..1, where there are labels.
    steps: of a sequence, where each of its steps is judged; `value` is then the list of theirs. None: no such step.
    """

    value: Any
    confidence: float | None = None
    scores: Mapping[str, float] | None = None
    steps: Sequence[Prediction | None] | None = None


@runtime_checkable
class Metric(Protocol):
    """A figure over many batches. `larger_is_better` tells which way is up."""

    larger_is_better: bool

    def update(self, output: HeadOutput, target: Inputs | None) -> None:
        """Take in one batch, on the processor."""

    def merge(self, other: Any) -> None:
        """Take in what another process has seen."""

    def compute(self) -> float:
        """The figure; NaN where nothing was seen."""


class TaskHead(nn.Module, ABC):
    """Computes a task's loss, inside the module that the training wraps, and turns scores into predictions.

    fixed: names of the parameters that no stage trains, such as those of a pre-trained language model.
    """

    embeds: ClassVar[bool] = False
    """Whether it gives `embeddings`: vectors of the sources that can be compared."""

    @property
    def fixed(self) -> Collection[str]:
        return ()

    def initialize(self) -> None:
        """Load pre-trained weights. Called for a fresh run, never when a saved pipeline is loaded."""

    def view(self, inputs: Mapping[str, Any], generator: torch.Generator | None) -> Mapping[str, Any]:
        """The inputs as this head wants them, such as with masked tokens. Only changed streams are encoded again."""
        return inputs

    @abstractmethod
    def forward(self, reads: Mapping[str, Encoding], target: Inputs | None, step: Step) -> HeadOutput:
        """reads: per source, [batch, ...]; target: [batch, ...] with "present" [batch] bool, None where unknown."""

    def decode(self, output: HeadOutput, target: Modality | None) -> list[Prediction]:
        """One prediction per row of the output."""
        raise NotImplementedError(f"{type(self).__name__} makes no predictions")

    def remark(self, loss: float, batch: int) -> str | None:
        """What to tell the user of an epoch's mean loss, with `batch` samples in a step, if anything."""
        return None

    def sketch(self, epoch: int, predict: Callable[[int], Sequence[Prediction]]) -> Image | None:
        """A picture of how far this head is after an epoch, for the run's folder; None for none.

        epoch: 1 for the first. predict: this head's predictions of the first so many samples of the valid split.
        """
        return None

    def metrics(self) -> Mapping[str, Metric]:
        """Fresh metrics by name; the first one is the main one."""
        return {}


class ScoringHead(TaskHead):
    """A head that reads one source: scores, and a loss of scores. Such heads can be combined by a decision rule.

    space: what its scores are. A decision rule is told by the `format.kind` of its sources, and gives the same back.
    """

    space: ClassVar[Literal["log_probabilities", "log_odds", "values"]]

    @abstractmethod
    def score(self, encoding: Encoding) -> Tensor:
        """[batch, ...] log-probabilities, log-odds per label, or values."""

    @abstractmethod
    def loss(self, scores: Tensor, target: Inputs, counts: Tensor) -> tuple[Tensor, Tensor]:
        """The sum of the losses over rows where `counts` [batch] is True, and how many units that is."""

    def forward(self, reads: Mapping[str, Encoding], target: Inputs | None, step: Step) -> HeadOutput:
        (encoding,) = reads.values()
        return self.judged(self.score(encoding), encoding.present, target)

    def judged(self, scores: Tensor, present: Tensor, target: Inputs | None) -> HeadOutput:
        """Scores as a `HeadOutput`, with the loss where there is a target."""
        if target is None:
            return HeadOutput(scores=scores, present=present)
        loss, count = self.loss(scores, target, present & target["present"])
        return HeadOutput(loss=loss, count=count, scores=scores, present=present)
