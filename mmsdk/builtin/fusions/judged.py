"""How well sources did on held-out rows."""

from __future__ import annotations

from torch import Tensor


def accuracy(logs: Tensor, truth: Tensor, there: Tensor) -> Tensor:
    """The share that each source gets right, [sources].

    logs [sources, rows, ..., classes], truth [rows, ..., classes] probabilities, there [sources, rows, ..., 1] bool.
    One more row counts in which it guesses, so that none is always right, and one that is never there guesses.
    """
    right = truth.expand_as(logs).gather(-1, logs.argmax(dim=-1, keepdim=True))  # [sources, rows, ..., 1]
    return _mean(right, there, 1 / logs.shape[-1])


def log_loss(logs: Tensor, truth: Tensor, there: Tensor) -> Tensor:
    """The mean cross-entropy of each source in nats, [sources]; one more row counts in which it guesses."""
    return _mean(-(truth * logs).sum(dim=-1, keepdim=True), there, float(logs.new_tensor(logs.shape[-1]).log()))


def squared_error(values: Tensor, target: Tensor, there: Tensor) -> Tensor:
    """The mean squared error of each source, [sources], of standardised values [sources, rows, ...].

    One more row counts in which it says zero, the mean of all: its squared error is 1.
    """
    return _mean((values - target) ** 2, there, 1.0)


def _mean(each: Tensor, there: Tensor, guessed: float) -> Tensor:
    """The mean over what is there and one guess, [sources]."""
    there = there.expand_as(each).flatten(1)
    return (each.flatten(1).masked_fill(~there, 0).sum(dim=1) + guessed) / (there.sum(dim=1) + 1)
