"""Declarations of the decision rules that learn from the valid split. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from mmsdk.builtin.declarations.decisions import RuleConfig
from mmsdk.components import DecisionConfig
from mmsdk.errors import ConfigError
from mmsdk.formats import Source

if TYPE_CHECKING:
    from mmsdk.interfaces import FusionStrategy


class DecisionVoteConfig(RuleConfig):
    """Each source has a vote for the label that it finds most probable; the mean of the probabilities decides ties."""

    type: Literal["decision_vote"] = "decision_vote"
    weights: Literal["equal", "accuracy"] = Field(
        "equal", description="accuracy: by how much better than guessing each source is on the valid split"
    )

    @property
    def learns(self) -> bool:
        return self.weights == "accuracy"

    def build(self, sources: Mapping[str, Source]) -> FusionStrategy:
        from mmsdk.builtin.fusions.decision_vote import DecisionVote

        return DecisionVote(self.space(sources), len(sources), weighted=self.learns)


class DecisionWeightedConfig(RuleConfig):
    """The mean of what the sources say, weighted by how well each of them did on the valid split."""

    type: Literal["decision_weighted"] = "decision_weighted"
    refusals: ClassVar[Mapping[str, str]] = {}
    weights: Literal["loss", "accuracy"] = Field(
        "loss", description="loss: one over the log-loss, of values over the squared error; accuracy: of labels"
    )
    calibrate: bool = Field(
        False, description="first make each source as certain as it was right on the valid split (temperature)"
    )

    @property
    def learns(self) -> bool:
        return True

    def build(self, sources: Mapping[str, Source]) -> FusionStrategy:
        from mmsdk.builtin.fusions.decision_weighted import DecisionWeighted

        space = self.space(sources)
        if space == "values" and self.weights == "accuracy":
            raise ConfigError("'decision_weighted': values are near or far, not right or wrong: give 'weights: loss'.")
        if space == "values" and self.calibrate:
            raise ConfigError("'decision_weighted': values have no certainty to calibrate: give 'calibrate: false'.")
        return DecisionWeighted(space, len(sources), by_accuracy=self.weights == "accuracy", calibrate=self.calibrate)


class DecisionStackingConfig(RuleConfig):
    """A logistic regression over the scores of all sources, fitted on the valid split (stacking)."""

    type: Literal["decision_stacking"] = "decision_stacking"
    refusals: ClassVar[Mapping[str, str]] = {
        "values": "is a logistic regression, but these heads give values: use decision: {type: decision_weighted}."
    }
    penalty: Annotated[float, Field(gt=0)] = Field(
        1.0, description="on the square of what differs from the plain mean of scores; more is more cautious"
    )

    @property
    def learns(self) -> bool:
        return True

    def build(self, sources: Mapping[str, Source]) -> FusionStrategy:
        from mmsdk.builtin.fusions.decision_stacking import DecisionStacking

        space = self.space(sources)
        format = next(iter(sources.values())).format
        assert format is not None
        classes = 2 if space == "log_odds" else format.vocabulary
        if not classes:
            raise ConfigError("'decision_stacking' has to know the number of labels, which this head does not tell.")
        return DecisionStacking(space, len(sources), classes, self.penalty)


LEARNED_RULES: list[type[DecisionConfig]] = [DecisionVoteConfig, DecisionWeightedConfig, DecisionStackingConfig]
