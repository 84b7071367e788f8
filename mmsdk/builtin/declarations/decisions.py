"""Declarations of the decision rules that have nothing to learn, and what all of them share. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from mmsdk.components import DecisionConfig
from mmsdk.errors import ConfigError
from mmsdk.formats import Source

if TYPE_CHECKING:
    from mmsdk.interfaces import FusionStrategy


class RuleConfig(DecisionConfig):
    """Base of the built-in rules: they know what they can join, and have no parameters that a loss trains."""

    type: str  # here already, so that it stays the first field of every subclass
    refusals: ClassVar[Mapping[str, str]] = {
        "values": "joins probabilities, but these heads give values: use decision: {type: decision_mean}, or "
        "decision_median, or decision_weighted."
    }
    """Why the rule makes no sense for a space of scores, and what to use instead."""

    def parameters(self, sources: Mapping[str, Source]) -> int:
        return 0

    def space(self, sources: Mapping[str, Source]) -> str:
        """What the sources' scores are: "log_probabilities", "log_odds" or "values"; the same for all of them.

        Raises:
            ConfigError: the rule makes no sense for it.
        """
        format = next(iter(sources.values())).format
        assert format is not None  # the pipeline gives the space of the heads
        if format.kind in self.refusals:
            raise ConfigError(f"'{self.type_name()}' {self.refusals[format.kind]}")
        return format.kind


class DecisionMeanConfig(RuleConfig):
    """The mean of what the sources say: of their probabilities, or of their values (sum rule)."""

    type: Literal["decision_mean"] = "decision_mean"
    refusals: ClassVar[Mapping[str, str]] = {}

    def build(self, sources: Mapping[str, Source]) -> FusionStrategy:
        from mmsdk.builtin.fusions.decision_mean import DecisionMean

        return DecisionMean(self.space(sources))


class DecisionProductConfig(RuleConfig):
    """The product of the sources' probabilities, normalised again: each source can veto (product rule)."""

    type: Literal["decision_product"] = "decision_product"

    def build(self, sources: Mapping[str, Source]) -> FusionStrategy:
        from mmsdk.builtin.fusions.decision_product import DecisionProduct

        return DecisionProduct(self.space(sources))


class DecisionMaxConfig(RuleConfig):
    """The largest probability that any source gives, normalised again: the most certain source decides (max rule)."""

    type: Literal["decision_max"] = "decision_max"

    def build(self, sources: Mapping[str, Source]) -> FusionStrategy:
        from mmsdk.builtin.fusions.decision_max import DecisionMax

        return DecisionMax(self.space(sources))


class DecisionMedianConfig(RuleConfig):
    """The median of what the sources say: one source that goes astray among three changes little (median rule)."""

    type: Literal["decision_median"] = "decision_median"
    refusals: ClassVar[Mapping[str, str]] = {}

    def build(self, sources: Mapping[str, Source]) -> FusionStrategy:
        from mmsdk.builtin.fusions.decision_median import DecisionMedian

        return DecisionMedian(self.space(sources))


class DecisionBordaConfig(RuleConfig):
    """Each source ranks the labels, and the ranks are added up (Borda count)."""

    type: Literal["decision_borda"] = "decision_borda"
    refusals: ClassVar[Mapping[str, str]] = {
        "values": "ranks labels, but these heads give values: use decision: {type: decision_median}.",
        "log_odds": "ranks labels of which one is right, but these heads say yes or no of each: use decision: "
        "{type: decision_vote}.",
    }

    def build(self, sources: Mapping[str, Source]) -> FusionStrategy:
        from mmsdk.builtin.fusions.decision_borda import DecisionBorda

        self.space(sources)
        return DecisionBorda()


class DecisionEntropyConfig(RuleConfig):
    """The mean of the sources' probabilities, in which a source that wavers counts less, sample by sample."""

    type: Literal["decision_entropy"] = "decision_entropy"

    def build(self, sources: Mapping[str, Source]) -> FusionStrategy:
        from mmsdk.builtin.fusions.decision_entropy import DecisionEntropy

        return DecisionEntropy(self.space(sources))


class DecisionEvidentialConfig(RuleConfig):
    """Adds up evidence: sources tell how much they know, and the less they know the less they count (TMC)."""

    type: Literal["decision_evidential"] = "decision_evidential"

    def build(self, sources: Mapping[str, Source]) -> FusionStrategy:
        from mmsdk.builtin.fusions.decision_evidential import DecisionEvidential

        return DecisionEvidential(self.space(sources))


class DecisionDempsterShaferConfig(RuleConfig):
    """Combines the sources as evidence of limited reliability, by Dempster's rule."""

    type: Literal["decision_dempster_shafer"] = "decision_dempster_shafer"
    reliability: Annotated[float, Field(gt=0, lt=1)] | Literal["accuracy"] = Field(
        0.9, description="share of belief that each source is given; accuracy: its own on the valid split"
    )

    @property
    def learns(self) -> bool:
        return self.reliability == "accuracy"

    def build(self, sources: Mapping[str, Source]) -> FusionStrategy:
        from mmsdk.builtin.fusions.decision_dempster_shafer import DecisionDempsterShafer

        given = None if self.reliability == "accuracy" else self.reliability
        return DecisionDempsterShafer(self.space(sources), len(sources), given)


RULES: list[type[DecisionConfig]] = [
    DecisionMeanConfig,
    DecisionProductConfig,
    DecisionMaxConfig,
    DecisionMedianConfig,
    DecisionBordaConfig,
    DecisionEntropyConfig,
    DecisionEvidentialConfig,
    DecisionDempsterShaferConfig,
]
