"""What the declarations share: field types, base classes, and the sizes of layers. No torch here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from mmsdk import ConfigError, Dropout, FusionConfig, Source

Absence = Literal["exact", "independent", "imputed", "unsupported"]
Positive = Annotated[int, Field(gt=0, strict=True)]
Strength = Annotated[float, Field(ge=0)]


class OfVectors(FusionConfig):
    """Base of strategies that read the pooled vectors alone and give one vector."""

    type: str  # here already, so that it stays the first field of every subclass
    absence: ClassVar[Absence] = "exact"
    width: Positive = Field(128, description="of the fused vector")
    dropout: Dropout = 0.0


class SeveralVectors(OfVectors):
    """Base of those that join two streams or more."""

    type: str

    def check(self, streams: list[str]) -> str | None:
        return several(self.type_name(), streams)


def several(name: str, streams: list[str]) -> str | None:
    """What is wrong where there are not two streams or more."""
    return None if len(streams) > 1 else f"Fusion '{name}' joins two streams or more, found {len(streams)}."


def refuse(complaint: str | None) -> None:
    """Raise what `check` says; for those who build a strategy without a pipeline."""
    if complaint is not None:
        raise ConfigError(complaint)


def linear(inputs: int, outputs: int) -> int:
    """Parameters of a linear layer with biases."""
    return (inputs + 1) * outputs


def attention_block(width: int, norms: int, feedforward: int | None = None) -> int:
    """Parameters of `TransformerBlock` (of 2 norms) and `CrossBlock` (of 3)."""
    hidden = feedforward or 4 * width
    attention = 4 * linear(width, width) - width  # the keys have no biases
    return norms * 2 * width + attention + linear(width, hidden) + linear(hidden, width)


def pairs(number: int) -> int:
    """How many pairs so many streams make."""
    return number * (number - 1) // 2


def pooled(sources: Mapping[str, Source]) -> Sequence[int]:
    """The widths of the streams' vectors."""
    return [source.pooled_width for source in sources.values()]


def of_vectors(sources: Mapping[str, Source], width: int) -> int:
    """Parameters of a linear layer over each stream's vector."""
    return sum(linear(each, width) for each in pooled(sources))


def of_tokens(sources: Mapping[str, Source], width: int) -> int:
    """Parameters of a linear layer over each stream's tokens."""
    return sum(linear(source.width, width) for source in sources.values())
