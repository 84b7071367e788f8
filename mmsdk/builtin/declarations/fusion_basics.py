"""What the declarations of fusions share: absence, refusals, and parameters by formula. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from mmsdk.errors import ConfigError
from mmsdk.formats import Source

Absence = Literal["exact", "independent", "imputed", "unsupported"]


def refuse(complaint: str | None) -> None:
    """Raise what `check` complains of, for those who build without a pipeline."""
    if complaint is not None:
        raise ConfigError(complaint)


def linear(inputs: int, outputs: int) -> int:
    """Parameters of a linear layer with bias."""
    return (inputs + 1) * outputs


def block(width: int, norms: int) -> int:
    """Parameters of an attention block: norms, four projections, and two layers over four times the width."""
    attention = 4 * linear(width, width) - width  # the keys have no bias
    feedforward = linear(width, 4 * width) + linear(4 * width, width)
    return norms * 2 * width + attention + feedforward


def pooled(sources: Mapping[str, Source]) -> list[int]:
    """The widths of the sources' pooled vectors."""
    return [source.pooled_width for source in sources.values()]


def projections(sources: Mapping[str, Source], width: int) -> int:
    """Parameters of one linear layer per source, from its pooled vector to `width`."""
    return sum(linear(each, width) for each in pooled(sources))
