"""What decision rules learn from held-out scores."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmsdk.builtin.declarations.decisions import DecisionDempsterShaferConfig, DecisionMeanConfig
from mmsdk.builtin.declarations.learned_decisions import (
    DecisionStackingConfig,
    DecisionVoteConfig,
    DecisionWeightedConfig,
)
from mmsdk.builtin.fusions.temperature import temperatures
from mmsdk.components import DecisionConfig
from mmsdk.containers import Inputs
from mmsdk.errors import TrainingError
from mmsdk.formats import Format, Source
from mmsdk.interfaces import DecisionFusion

Scores = dict[str, Tensor]


def build(
    config: DecisionConfig, space: str = "log_probabilities", classes: int = 3, sources: int = 2
) -> DecisionFusion:
    format = Format(space, vocabulary=classes)
    rule = config.build({str(place): Source(0, 0, format) for place in range(sources)})
    assert isinstance(rule, DecisionFusion)
    return rule


def everywhere(scores: Scores) -> Scores:
    return {name: torch.ones(len(part), dtype=torch.bool) for name, part in scores.items()}


def made(rows: int, *strengths: float, seed: int = 0, classes: int = 3) -> tuple[Scores, Tensor]:
    """Log-probabilities of sources that hint at the label, as strongly as is said, in noise; and the labels."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(classes, (rows,), generator=generator)
    hot = F.one_hot(ids, classes).float()
    scores = {
        str(place): (strength * hot + torch.randn(rows, classes, generator=generator)).log_softmax(dim=1)
        for place, strength in enumerate(strengths)
    }
    return scores, ids


def loss(rule: DecisionFusion, scores: Scores, ids: Tensor) -> float:
    return float(F.nll_loss(rule(scores, everywhere(scores)), ids))


def right(rule: DecisionFusion, scores: Scores, ids: Tensor) -> float:
    return float((rule(scores, everywhere(scores)).argmax(dim=1) == ids).float().mean())


def test_the_accuracy_of_a_source_by_hand() -> None:
    """Three of four right and none of four, each with one guess more, of two labels."""
    sure, ids = torch.tensor([0.9, 0.1]).log(), torch.tensor([0, 0, 0, 1])
    scores = {"0": sure.expand(4, 2), "1": sure.flip(0).expand(4, 2)}
    scores["1"] = torch.where(ids[:, None] == 0, scores["1"], scores["0"])
    rule = build(DecisionDempsterShaferConfig(reliability="accuracy"), classes=2)
    rule.fit(scores, {"ids": ids}, everywhere(scores))
    torch.testing.assert_close(rule.state_dict()["reliability"], torch.tensor([3.5 / 5, 0.5 / 5]))


def test_the_weights_of_votes_by_hand() -> None:
    """log-odds of 7/9 and 1/2, of three labels plus log(2), with a mean of 1 - and one who is worse has none."""
    ids = torch.zeros(8, dtype=torch.int64)
    shares = F.one_hot(torch.tensor([[0] * 7 + [1], [0] * 4 + [1] * 4, [0] + [1] * 7]), 3).float()
    scores = {str(place): (shares[place] + 0.01).log().log_softmax(dim=1) for place in range(3)}
    rule = build(DecisionVoteConfig(weights="accuracy"), sources=3)
    rule.fit(scores, {"ids": ids}, everywhere(scores))
    good, fair = (math.log(share / (1 - share)) + math.log(2) for share in (22 / 27, 13 / 27))
    expected = torch.tensor([good, fair, 0.0]) * 3 / (good + fair)
    torch.testing.assert_close(rule.state_dict()["weights"], expected)


def test_a_good_source_outvotes_two_that_guess() -> None:
    scores, ids = made(600, 4.0, 0.3, 0.3)
    test, truth = made(600, 4.0, 0.3, 0.3, seed=1)
    plain, weighted = (build(DecisionVoteConfig(weights=each), sources=3) for each in ("equal", "accuracy"))  # type: ignore[arg-type]
    weighted.fit(scores, {"ids": ids}, everywhere(scores))
    assert right(weighted, test, truth) > right(plain, test, truth) + 0.05


def test_the_weights_of_losses_by_hand() -> None:
    scores = {"0": torch.tensor([[0.9, 0.1]]).log(), "1": torch.tensor([[0.6, 0.4]]).log()}
    rule = build(DecisionWeightedConfig(), classes=2)
    rule.fit(scores, {"ids": torch.tensor([0])}, everywhere(scores))
    losses = [(-math.log(share) + math.log(2)) / 2 for share in (0.9, 0.6)]  # one row, and one in which it guesses
    weights = [1 / each / sum(1 / other for other in losses) for each in losses]
    assert rule.state_dict()["weights"].tolist() == pytest.approx(weights)
    found = rule(scores, everywhere(scores)).exp()[0, 0]
    assert float(found) == pytest.approx(weights[0] * 0.9 + weights[1] * 0.6)


def test_the_weights_of_values_are_one_over_the_squared_error() -> None:
    target = torch.tensor([[1.0], [-1.0], [2.0]])
    scores = {"0": target + 1, "1": target + 3}
    rule = build(DecisionWeightedConfig(), "values")
    rule.fit(scores, {"values": target, "center": target, "scale": target}, everywhere(scores))
    one, other = 4 / (3 * 1 + 1), 4 / (3 * 9 + 1)
    assert rule.state_dict()["weights"].tolist() == pytest.approx([one / (one + other), other / (one + other)])


def overconfident(rows: int, seed: int = 0) -> tuple[Scores, Tensor]:
    """Calibrated logits, and the same five times as large."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, 3, generator=generator)
    ids = torch.multinomial(logits.softmax(dim=1), 1, generator=generator)[:, 0]
    return {"0": (5 * logits).log_softmax(dim=1), "1": logits.log_softmax(dim=1)}, ids


def test_the_temperature_of_an_overconfident_source() -> None:
    scores, ids = overconfident(3000)
    rule = build(DecisionWeightedConfig(calibrate=True))
    rule.fit(scores, {"ids": ids}, everywhere(scores))
    assert rule.state_dict()["temperatures"].tolist() == pytest.approx([5.0, 1.0], rel=0.1)


def test_calibration_lowers_the_loss_of_an_overconfident_source() -> None:
    scores, ids = overconfident(500)
    test, truth = overconfident(500, seed=1)
    alone, own = {"0": scores["0"]}, {"0": test["0"]}
    plain, calibrated = (build(DecisionWeightedConfig(calibrate=each), sources=1) for each in (False, True))
    for rule in (plain, calibrated):
        rule.fit(alone, {"ids": ids}, everywhere(alone))
    assert loss(calibrated, own, truth) < loss(plain, own, truth) - 0.5
    assert right(calibrated, own, truth) == right(plain, own, truth)


def test_the_temperature_is_where_the_loss_is_smallest() -> None:
    """Of labels that are a little less than certain, by one row in 401."""
    logs, ids = made(400, 1.0, 3.0)
    stacked, there = torch.stack(list(logs.values())), torch.ones(2, 400, 1, dtype=torch.bool)
    found = temperatures(stacked, F.one_hot(ids, 3).float(), there)
    for source, best in zip(stacked, found.tolist(), strict=True):
        tried = [source / (best * share) for share in (0.98, 1.0, 1.02)]
        losses = [float(F.cross_entropy(each, ids, label_smoothing=1 / 401)) for each in tried]
        assert losses[1] == min(losses)


def test_few_rows_that_are_all_right_make_no_source_infinitely_certain() -> None:
    logs = torch.tensor([[[0.6, 0.4]]]).log().expand(1, 4, 2)
    there = torch.ones(1, 4, 1, dtype=torch.bool)
    (found,) = temperatures(logs, F.one_hot(torch.zeros(4, dtype=torch.int64), 2).float(), there).tolist()
    smoothed = (4 + 0.5) / 5
    assert found == pytest.approx(math.log(1.5) / math.log(smoothed / (1 - smoothed)), rel=1e-4)


def test_stacking_beats_the_mean_where_one_source_is_noise() -> None:
    scores, ids = made(300, 3.0, 0.0)
    test, truth = made(1000, 3.0, 0.0, seed=1)
    mean, stacking = build(DecisionMeanConfig()), build(DecisionStackingConfig())
    stacking.fit(scores, {"ids": ids}, everywhere(scores))
    assert right(stacking, test, truth) > right(mean, test, truth) + 0.05
    assert loss(stacking, test, truth) < loss(mean, test, truth) - 0.1


def test_stacking_finds_out_that_a_source_mixes_labels_up() -> None:
    scores, ids = made(300, 4.0)
    turned = {"0": scores["0"].roll(1, dims=1)}
    rule = build(DecisionStackingConfig(), sources=1)
    assert right(rule, turned, ids) < 0.1
    rule.fit(turned, {"ids": ids}, everywhere(turned))
    assert right(rule, turned, ids) > 0.9


def test_stacking_is_the_logistic_regression_that_its_docstring_says() -> None:
    """At its end the slope of the log-loss plus the penalty is zero."""
    scores, ids = made(60, 2.0, 1.0)
    rule = build(DecisionStackingConfig(penalty=2.0))
    rule.fit(scores, {"ids": ids}, everywhere(scores))
    weights = rule.state_dict()["weights"].double().requires_grad_()
    biases = rule.state_dict()["biases"].double().requires_grad_()
    joined = torch.zeros(60, 3, dtype=torch.float64)
    for logs, own, bias in zip(scores.values(), weights, biases, strict=True):
        joined = joined + ((logs - logs.mean(dim=1, keepdim=True)).double() @ own + bias) / 2
    objective = F.cross_entropy(joined, ids, reduction="sum")
    objective = objective + ((weights - torch.eye(3)) ** 2).sum() + (biases**2).sum()
    slopes = torch.autograd.grad(objective, [weights, biases])
    assert max(float(slope.abs().max()) for slope in slopes) < 1e-3
    torch.testing.assert_close(rule(scores, everywhere(scores)), joined.log_softmax(dim=1).detach().float())


def test_stacking_with_a_great_penalty_stays_what_it_was() -> None:
    scores, ids = made(60, 3.0, 0.0)
    rule, plain = build(DecisionStackingConfig(penalty=1e9)), build(DecisionStackingConfig())
    rule.fit(scores, {"ids": ids}, everywhere(scores))
    torch.testing.assert_close(rule(scores, everywhere(scores)), plain(scores, everywhere(scores)))


@pytest.mark.parametrize("config", [DecisionStackingConfig(), DecisionWeightedConfig(calibrate=True)])
def test_sources_that_are_absent_by_turns_teach_where_they_are_there(config: DecisionConfig) -> None:
    scores, ids = made(600, 3.0, 0.0)
    present = {"0": torch.arange(600) % 3 != 0, "1": torch.arange(600) % 3 != 1}
    rule = build(config)
    rule.fit(scores, {"ids": ids}, present)
    test, truth = made(500, 3.0, 0.0, seed=1)
    assert loss(rule, test, truth) < loss(build(DecisionMeanConfig()), test, truth) - 0.05
    only = {"0": torch.zeros(500, dtype=torch.bool), "1": torch.ones(500, dtype=torch.bool)}
    assert float((rule(test, only).exp() - 1 / 3).abs().mean()) < 0.1  # it has learned that this one knows nothing


LEARNERS = [
    DecisionStackingConfig(),
    DecisionWeightedConfig(calibrate=True),
    DecisionWeightedConfig(weights="accuracy"),
    DecisionVoteConfig(weights="accuracy"),
    DecisionDempsterShaferConfig(reliability="accuracy"),
]
every_learner = pytest.mark.parametrize("config", LEARNERS, ids=lambda each: each.type)


@every_learner
def test_no_rows_teach_nothing_that_harms(config: DecisionConfig) -> None:
    rule, (scores, _) = build(config), made(4, 2.0, 2.0)
    none = {name: part[:0] for name, part in scores.items()}
    rule.fit(none, {"ids": torch.zeros(0, dtype=torch.int64)}, everywhere(none))
    found = rule(scores, everywhere(scores))
    assert found.isfinite().all()
    torch.testing.assert_close(found, rule(dict(zip("01", reversed(scores.values()), strict=True)), everywhere(scores)))


@every_learner
def test_shares_of_labels_teach_what_labels_do(config: DecisionConfig) -> None:
    scores, ids = made(50, 2.0, 1.0)
    states = []
    targets: list[Inputs] = [{"ids": ids}, {"probabilities": F.one_hot(ids, 3).float()}]
    for target in targets:
        rule = build(config)
        rule.fit(scores, target, everywhere(scores))
        states.append(rule.state_dict())
    for name, part in states[0].items():
        torch.testing.assert_close(states[1][name], part)


@every_learner
def test_a_label_that_is_there_or_not_is_one_of_two(config: DecisionConfig) -> None:
    scores, ids = made(80, 2.0, 1.0, classes=2)
    odds = {name: (part[:, 1:] - part[:, :1]) for name, part in scores.items()}
    one, other = build(config, classes=2), build(config, "log_odds", classes=1)
    one.fit(scores, {"ids": ids}, everywhere(scores))
    other.fit(odds, {"values": ids[:, None].float()}, everywhere(odds))
    expected = one(scores, everywhere(scores))[:, 1].exp()
    torch.testing.assert_close(other(odds, everywhere(odds))[:, 0].sigmoid(), expected, rtol=1e-3, atol=1e-4)


@every_learner
def test_a_target_that_is_none_of_labels_is_named(config: DecisionConfig) -> None:
    scores, ids = made(4, 1.0, 1.0)
    with pytest.raises(TrainingError, match="learn from a target of 'words'"):
        build(config).fit(scores, {"words": ids}, everywhere(scores))
