"""Attention that is followed through layers: against attention itself, and against what is known of it."""

from __future__ import annotations

import torch

from mmsdk.builtin.layers.attention import Attention
from mmsdk.builtin.layers.rollout import by_stream, mean_origin, origins, passed_on, recorded

MASK = torch.tensor([[True, True, False, True], [False, False, False, False]])


def made(heads: int) -> tuple[Attention, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return Attention(8, heads).eval(), torch.randn(2, 3, 8), torch.randn(2, 4, 8)


def test_shares_are_those_that_the_values_are_mixed_by() -> None:
    attention, queries, context = made(heads=1)
    with torch.no_grad():
        shares = attention.shares(queries, context, MASK)
        mixed = attention.out(shares @ attention.value(context))
        torch.testing.assert_close(mixed[0], attention(queries, context, MASK)[0])
    assert not shares[1].any() and not shares[0, :, 2].any()
    torch.testing.assert_close(shares[0].sum(dim=1), torch.ones(3))


def test_the_heads_count_alike() -> None:
    attention, queries, context = made(heads=2)
    with torch.no_grad():
        shares = attention.shares(queries, context, MASK)
        halves = []
        for half in (slice(0, 4), slice(4, 8)):
            query, key = attention.query(queries)[..., half], attention.key(context)[..., half]
            scores = (query @ key.transpose(1, 2) / 2).masked_fill(~MASK[:, None], float("-inf"))
            halves.append(scores.softmax(dim=2))
    torch.testing.assert_close(shares[0], (halves[0][0] + halves[1][0]) / 2)


def test_calls_are_recorded_in_order_and_only_inside() -> None:
    attention, queries, context = made(heads=2)
    with torch.no_grad():
        with recorded(attention) as looks:
            attention(queries, context, MASK)
            attention(queries[:, :1], context, MASK)
        attention(queries, context, MASK)
    assert [look.shape for look in looks] == [(2, 3, 4), (2, 1, 4)]


def test_two_layers_by_hand() -> None:
    """The paper's rollout: (A2 / 2 + I / 2) (A1 / 2 + I / 2)."""
    first, second = (torch.rand(1, 3, 3).softmax(dim=2) for _ in range(2))
    own = torch.eye(3)[None]
    found = passed_on(passed_on(own, first, own), second, passed_on(own, first, own))
    torch.testing.assert_close(found, (second + own) / 2 @ ((first + own) / 2))


def test_who_sees_nothing_stays() -> None:
    own = torch.rand(1, 2, 3)
    assert passed_on(own, torch.zeros(1, 2, 4), torch.rand(1, 4, 3)).equal(own)


def test_the_origin_of_a_mean_without_any_layer() -> None:
    masks = {
        "a": torch.tensor([[True, True], [True, False], [False, False]]),
        "b": torch.tensor([[True], [False], [False]]),
    }
    shares = by_stream(mean_origin(origins(masks), masks), masks)
    torch.testing.assert_close(shares["a"], torch.tensor([[0.25, 0.25], [1.0, 0.0], [0.0, 0.0]]))
    torch.testing.assert_close(shares["b"], torch.tensor([[0.5], [0.0], [0.0]]))
