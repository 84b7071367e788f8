"""The decision rules, by hand on small examples. What `fit` learns: test_fusions_decision_learned.py."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from mmsdk.builtin.declarations.decisions import (
    DecisionBordaConfig,
    DecisionDempsterShaferConfig,
    DecisionEntropyConfig,
    DecisionEvidentialConfig,
    DecisionMaxConfig,
    DecisionMeanConfig,
    DecisionMedianConfig,
    DecisionProductConfig,
)
from mmsdk.builtin.declarations.learned_decisions import (
    DecisionStackingConfig,
    DecisionVoteConfig,
    DecisionWeightedConfig,
)
from mmsdk.components import DecisionConfig
from mmsdk.errors import ConfigError
from mmsdk.formats import Format, Source
from mmsdk.interfaces import DecisionFusion

NAMES = ("fused", "image", "text")
PRESENT = torch.tensor([[True, True, True], [True, False, True], [False, True, False], [False] * 3])
SPACES = ("log_probabilities", "log_odds", "values")
OF_LABELS = SPACES[:2]
KEEPING = [
    *((DecisionMeanConfig(), space) for space in SPACES),
    *((DecisionMedianConfig(), space) for space in SPACES),
    *((DecisionWeightedConfig(), space) for space in SPACES),
    *((DecisionProductConfig(), space) for space in OF_LABELS),
    *((DecisionMaxConfig(), space) for space in OF_LABELS),
    *((DecisionEntropyConfig(), space) for space in OF_LABELS),
    *((DecisionStackingConfig(), space) for space in OF_LABELS),
]
"""Rules that give one source back as it is."""
RULES = [
    *KEEPING,
    (DecisionBordaConfig(), "log_probabilities"),
    *((DecisionVoteConfig(), space) for space in OF_LABELS),
    *((DecisionEvidentialConfig(), space) for space in OF_LABELS),
    *((DecisionDempsterShaferConfig(), space) for space in OF_LABELS),
]
every_rule = pytest.mark.parametrize(("config", "space"), RULES, ids=lambda each: getattr(each, "type", each))


def build(config: DecisionConfig, space: str) -> DecisionFusion:
    rule = config.build({name: Source(0, 0, Format(space, vocabulary=5)) for name in NAMES})
    assert isinstance(rule, DecisionFusion)
    return rule


def scores(space: str, rows: int = 4) -> Tensor:
    """[sources, rows, 5], of an encoder's zeros where absent."""
    raw = 3 * torch.randn(3, rows, 5, generator=torch.Generator().manual_seed(0))
    return raw.log_softmax(dim=2) if space == "log_probabilities" else raw


def apply(rule: DecisionFusion, given: Tensor, present: Tensor = PRESENT) -> Tensor:
    return rule(dict(zip(NAMES, given, strict=True)), dict(zip(NAMES, present.T, strict=True)))


def test_the_mean_of_probabilities() -> None:
    given = scores("log_probabilities")
    found = apply(build(DecisionMeanConfig(), "log_probabilities"), given).exp()
    torch.testing.assert_close(found[0], given[:, 0].exp().mean(dim=0))
    torch.testing.assert_close(found[1], given[[0, 2], 1].exp().mean(dim=0))
    torch.testing.assert_close(found[2], given[1, 2].exp())
    torch.testing.assert_close(found[3], torch.full((5,), 0.2))


def test_the_mean_of_log_odds() -> None:
    given = scores("log_odds")
    found = apply(build(DecisionMeanConfig(), "log_odds"), given)
    torch.testing.assert_close(found[1].sigmoid(), given[[0, 2], 1].sigmoid().mean(dim=0))
    torch.testing.assert_close(found[2], given[1, 2])
    assert not found[3].any()


def test_the_mean_of_values() -> None:
    given = scores("values")
    found = apply(build(DecisionMeanConfig(), "values"), given)
    torch.testing.assert_close(found[1], given[[0, 2], 1].mean(dim=0))
    assert not found[3].any()


def test_the_product_of_probabilities() -> None:
    given = scores("log_probabilities")
    found = apply(build(DecisionProductConfig(), "log_probabilities"), given).exp()
    product = given[[0, 2], 1].exp().prod(dim=0)
    torch.testing.assert_close(found[1], product / product.sum())
    torch.testing.assert_close(found[2], given[1, 2].exp())
    torch.testing.assert_close(found[3], torch.full((5,), 0.2))


def test_the_product_of_odds() -> None:
    given = scores("log_odds")
    found = apply(build(DecisionProductConfig(), "log_odds"), given)
    torch.testing.assert_close(found[1].exp(), given[[0, 2], 1].exp().prod(dim=0))
    assert not found[3].any()


def test_there_is_no_product_of_values() -> None:
    with pytest.raises(ConfigError, match=r"decision: \{type: decision_mean\}"):
        build(DecisionProductConfig(), "values")


@every_rule
def test_a_label_per_token(config: DecisionConfig, space: str) -> None:
    """More dimensions than two: [batch, length, classes]."""
    rule = build(config, space)
    given = scores(space, rows=8).view(3, 4, 2, 5)
    whole = apply(rule, given)
    assert whole.shape == (4, 2, 5)
    torch.testing.assert_close(whole[:, 1], apply(rule, given[:, :, 1]))


@pytest.mark.parametrize(("config", "space"), KEEPING, ids=lambda each: getattr(each, "type", each))
def test_one_source_is_left_as_it_is(config: DecisionConfig, space: str) -> None:
    given = scores(space)
    there = torch.tensor([[False, True, False]] * 4)
    torch.testing.assert_close(apply(build(config, space), given, there), given[1])


@every_rule
def test_a_row_without_any_source_says_nothing(config: DecisionConfig, space: str) -> None:
    found = apply(build(config, space), scores(space))[3]
    expected = torch.full((5,), 0.2).log() if space == "log_probabilities" else torch.zeros(5)
    torch.testing.assert_close(found, expected)


def of(rule: DecisionConfig, *sources: list[float]) -> list[float]:
    """The probabilities that a rule makes of those of the sources, one row."""
    given = {str(place): torch.tensor([each]).log() for place, each in enumerate(sources)}
    there = {name: torch.tensor([True]) for name in given}
    format = Format("log_probabilities", vocabulary=len(sources[0]))
    built = rule.build({name: Source(0, 0, format) for name in given})
    found: list[float] = built(given, there)[0].exp().tolist()
    return found


def odds(rule: DecisionConfig, *sources: float) -> float:
    """The probability of a label that a rule makes of those of the sources."""
    given = {str(place): torch.tensor([[each]]).logit() for place, each in enumerate(sources)}
    there = {name: torch.tensor([True]) for name in given}
    built = rule.build({name: Source(0, 0, Format("log_odds", vocabulary=1)) for name in given})
    return float(built(given, there).sigmoid())


def test_the_max_rule_by_hand() -> None:
    largest = [0.8, 0.7, 0.3]  # of each label
    found = of(DecisionMaxConfig(), [0.8, 0.1, 0.1], [0.1, 0.7, 0.2], [0.3, 0.4, 0.3])
    assert found == pytest.approx([each / 1.8 for each in largest])
    assert odds(DecisionMaxConfig(), 0.9, 0.4) == pytest.approx(0.9 / (0.9 + 0.6))


def test_the_median_rule_by_hand() -> None:
    found = of(DecisionMedianConfig(), [0.8, 0.1, 0.1], [0.1, 0.7, 0.2], [0.3, 0.4, 0.3])
    assert found == pytest.approx([each / 0.9 for each in [0.3, 0.4, 0.2]])
    found = of(DecisionMedianConfig(), [0.8, 0.1, 0.1], [0.1, 0.7, 0.2], [0.3, 0.4, 0.3], [0.6, 0.3, 0.1])
    assert found == pytest.approx([each / 0.95 for each in [0.45, 0.35, 0.15]])
    assert odds(DecisionMedianConfig(), 0.9, 0.4, 0.2) == pytest.approx(0.4)


def test_the_median_of_values_passes_over_what_is_absent() -> None:
    given = torch.tensor([[[1.0]], [[100.0]], [[4.0]]])
    rule = build(DecisionMedianConfig(), "values")
    assert apply(rule, given, torch.tensor([[True, True, True]])).item() == 4.0
    assert apply(rule, given, torch.tensor([[True, False, True]])).item() == 2.5


def test_the_vote_by_hand() -> None:
    """Two against one, and a fourth vote shared out by the mean of the probabilities."""
    found = of(DecisionVoteConfig(), [0.5, 0.4, 0.1], [0.5, 0.4, 0.1], [0.0001, 0.9998, 0.0001])
    mean = [1.0001 / 3, 1.7998 / 3, 0.2001 / 3]
    assert found == pytest.approx([(2 + mean[0]) / 4, (1 + mean[1]) / 4, mean[2] / 4])
    assert odds(DecisionVoteConfig(), 0.6, 0.7, 0.1) == pytest.approx((2 + 1.4 / 3) / 4)


def test_the_mean_of_the_probabilities_decides_a_tie() -> None:
    found = of(DecisionVoteConfig(), [0.6, 0.3, 0.1], [0.05, 0.9, 0.05])
    assert found[1] > found[0] > found[2]


def test_the_borda_count_by_hand() -> None:
    """The label that all rank second wins against two that divide the sources."""
    sources = [[0.6, 0.3, 0.1], [0.1, 0.3, 0.6], [0.1, 0.5, 0.4]]
    points = [2 + 0 + 0, 1 + 1 + 2, 0 + 2 + 1]
    half = [0.8 / 6, 1.1 / 6, 1.1 / 6]
    expected = [(each + more) / 9.5 for each, more in zip(points, half, strict=True)]
    assert of(DecisionBordaConfig(), *sources) == pytest.approx(expected)


def test_labels_that_are_equally_probable_share_their_points() -> None:
    found = of(DecisionBordaConfig(), [0.25, 0.5, 0.25])
    assert found == pytest.approx([(0.5 + 0.125) / 3.5, (2 + 0.25) / 3.5, (0.5 + 0.125) / 3.5])


def test_the_entropy_rule_by_hand() -> None:
    """A source that wavers between k labels evenly has the weight 1 / k."""
    found = of(DecisionEntropyConfig(), [1 - 1e-7, 1e-7], [0.5, 0.5])
    assert found == pytest.approx([(1 + 0.25) / 1.5, 0.25 / 1.5], abs=1e-5)
    assert odds(DecisionEntropyConfig(), 1 - 1e-6, 0.5) == pytest.approx(1.25 / 1.5, abs=1e-4)


def test_dempsters_rule_by_hand() -> None:
    """Masses of two sources multiplied one by one, conflict left out, and the frame's mass shared out."""
    first, second, share = [0.7, 0.2, 0.1], [0.1, 0.6, 0.3], 0.8
    a, b = ([share * each for each in source] for source in (first, second))
    frame = 1 - share
    single = [a[c] * b[c] + a[c] * frame + frame * b[c] for c in range(3)]
    whole = frame * frame
    conflict = sum(a[c] * b[d] for c in range(3) for d in range(3) if c != d)
    assert sum(single) + whole == pytest.approx(1 - conflict)
    expected = [(each + whole / 3) / (1 - conflict) for each in single]
    assert of(DecisionDempsterShaferConfig(reliability=share), first, second) == pytest.approx(expected)


def test_a_source_that_is_hardly_reliable_hardly_counts() -> None:
    assert of(DecisionDempsterShaferConfig(reliability=1e-4), [0.9, 0.1]) == pytest.approx([0.5, 0.5], abs=1e-4)
    certain = of(DecisionDempsterShaferConfig(reliability=0.9999), [0.6, 0.4], [0.9, 0.1])
    assert certain == pytest.approx(of(DecisionProductConfig(), [0.6, 0.4], [0.9, 0.1]), abs=1e-3)
    assert odds(DecisionDempsterShaferConfig(reliability=0.9999), 0.6, 0.9) == pytest.approx(certain[0], abs=1e-6)


def test_trusted_combination_by_hand() -> None:
    """The reduced rule of the paper, on beliefs and uncertainties."""
    sources = [[0.7, 0.2, 0.1], [0.1, 0.6, 0.3]]
    beliefs, uncertain = [], []
    for source in sources:
        logs = [math.log(each) for each in source]
        evidence = [math.log1p(math.exp(each - sum(logs) / 3)) for each in logs]
        total = sum(evidence) + 3
        beliefs.append([each / total for each in evidence])
        uncertain.append(3 / total)
    (a, b), (u, v) = beliefs, uncertain
    conflict = sum(a[c] * b[d] for c in range(3) for d in range(3) if c != d)
    belief = [(a[c] * b[c] + a[c] * v + b[c] * u) / (1 - conflict) for c in range(3)]
    expected = [each + u * v / (1 - conflict) / 3 for each in belief]
    assert sum(expected) == pytest.approx(1)
    assert of(DecisionEvidentialConfig(), *sources) == pytest.approx(expected)


def test_a_source_without_evidence_changes_less_than_one_that_is_certain() -> None:
    alone = of(DecisionEvidentialConfig(), [0.7, 0.2, 0.1])[0]
    beside_nothing = of(DecisionEvidentialConfig(), [0.7, 0.2, 0.1], [0.34, 0.33, 0.33])[0]
    beside_certain = of(DecisionEvidentialConfig(), [0.7, 0.2, 0.1], [0.01, 0.98, 0.01])[0]
    assert beside_certain < beside_nothing - 0.1
    assert abs(beside_nothing - alone) < 0.1


def test_before_they_learn_they_are_means() -> None:
    sources = [0.7, 0.2, 0.1], [0.1, 0.6, 0.3]
    assert of(DecisionWeightedConfig(), *sources) == pytest.approx(of(DecisionMeanConfig(), *sources))
    geometric = [math.sqrt(one * other) for one, other in zip(*sources, strict=True)]
    assert of(DecisionStackingConfig(), *sources) == pytest.approx([each / sum(geometric) for each in geometric])


@pytest.mark.parametrize(
    ("config", "space", "part"),
    [
        (DecisionMaxConfig(), "values", "'decision_max' joins probabilities, but these heads give values"),
        (DecisionEntropyConfig(), "values", "decision_median"),
        (DecisionVoteConfig(), "values", "decision_weighted"),
        (DecisionBordaConfig(), "values", "decision: {type: decision_median}"),
        (DecisionBordaConfig(), "log_odds", "decision: {type: decision_vote}"),
        (DecisionStackingConfig(), "values", "decision: {type: decision_weighted}"),
        (DecisionWeightedConfig(weights="accuracy"), "values", "give 'weights: loss'"),
        (DecisionWeightedConfig(calibrate=True), "values", "give 'calibrate: false'"),
    ],
)
def test_what_makes_no_sense_is_refused(config: DecisionConfig, space: str, part: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(config, space)
    assert part in str(caught.value)


def test_stacking_has_to_know_the_number_of_labels() -> None:
    with pytest.raises(ConfigError, match="the number of labels"):
        DecisionStackingConfig().build({name: Source(0, 0, Format("log_probabilities")) for name in NAMES})


@pytest.mark.parametrize("reliability", [0, 1, 1.5, "validation"])
def test_a_reliability_lies_between_0_and_1(reliability: float | str) -> None:
    with pytest.raises(ValueError, match="reliability"):
        DecisionDempsterShaferConfig.model_validate({"reliability": reliability})
