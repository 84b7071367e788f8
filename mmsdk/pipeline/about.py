"""What is known of a pipeline beside its config and its weights; saved with it, and told by its model card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, Field


class SubsetFigures(BaseModel):
    """Figures with some of the streams alone, the others absent in every sample."""

    model_config = ConfigDict(frozen=True)

    streams: list[str]
    metrics: dict[str, float]


class About(BaseModel):
    """Figures, data and origin of a pipeline. What is not known is empty.

    Figures belong to weights: saving drops them where the weights have changed since they were measured.
    """

    model_config = ConfigDict(frozen=True)

    metrics: dict[str, float] = Field({}, description="`split/head/metric` -> figure")
    subsets: list[SubsetFigures] = Field([], description="the same with each subset of the streams, small ones first")
    rows: dict[str, int] = Field({}, description="how many samples each split of the data had")
    data: str | None = Field(None, description="a digest of that data")
    source: str | None = Field(None, description="the repository of the hub that it came from, `owner/name`")
    revision: str | None = Field(None, description="the commit in that repository")
    card: str | None = Field(None, exclude=True, description="a model card that somebody has edited: saved as it is")
    weights: str | None = Field(None, exclude=True, description="sha256 of the weights that the figures belong to")

    def measured(self, metrics: Mapping[str, float]) -> Self:
        """The same with these figures, and no others."""
        return self.model_copy(update={"metrics": dict(metrics), "subsets": [], "weights": None})

    def of_weights(self, weights: str) -> Self:
        """The same for weights of this sha256: without figures where they are those of others."""
        known = self if self.weights in (None, weights) else self.measured({})
        return known.model_copy(update={"weights": weights})
