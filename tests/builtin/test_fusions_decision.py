"""The decision rules: mean and product of what the sources say."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mmsdk.builtin.declarations.decisions import DecisionMeanConfig, DecisionProductConfig
from mmsdk.components import DecisionConfig
from mmsdk.errors import ConfigError
from mmsdk.formats import Format, Source
from mmsdk.interfaces import DecisionFusion

NAMES = ("fused", "image", "text")
PRESENT = torch.tensor([[True, True, True], [True, False, True], [False, True, False], [False] * 3])
SPACES = ("log_probabilities", "log_odds", "values")
RULES = [
    (DecisionMeanConfig(), "log_probabilities"),
    (DecisionMeanConfig(), "log_odds"),
    (DecisionMeanConfig(), "values"),
    (DecisionProductConfig(), "log_probabilities"),
    (DecisionProductConfig(), "log_odds"),
]
every_rule = pytest.mark.parametrize(("config", "space"), RULES, ids=lambda each: getattr(each, "type", each))


def build(config: DecisionConfig, space: str) -> DecisionFusion:
    rule = config.build({name: Source(0, 0, Format(space)) for name in NAMES})
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


@every_rule
def test_one_source_is_left_as_it_is(config: DecisionConfig, space: str) -> None:
    given = scores(space)[0]
    found = build(config, space)({"image": given}, {"image": torch.ones(4, dtype=torch.bool)})
    torch.testing.assert_close(found, given)
