"""Writing a text symbol by symbol: greedy, with beams, or at random."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from mmsdk.builtin.layers.decoders import State

Advance = Callable[[Tensor, State], tuple[Tensor, State]]
"""The last symbols [rows] and the state -> logits [rows, symbols] float32 of the next ones, and the new state."""


@dataclass(frozen=True)
class Generation:
    """How texts are written.

    search: greedy takes the most probable symbol each time; beam follows the `beams` best beginnings; sample draws.
    temperature, top_p: of the probabilities that `sample` draws from: logits are divided by the temperature, and only
    the fewest symbols that have `top_p` together take part (Holtzman et al., "The Curious Case of Neural Text
    Degeneration", 2020). seed: of what `sample` draws.
    length_penalty: beams compare log-probabilities divided by length ** length_penalty.
    repetition_penalty: logits of symbols that are there already are divided by it where positive, else multiplied
    (Keskar et al., "CTRL: A Conditional Transformer Language Model", 2019, who divide always).
    no_repeat: no run of so many symbols comes twice; 0 allows it. max_tokens: longer texts lose their end.
    """

    search: Literal["greedy", "beam", "sample"] = "greedy"
    beams: int = 4
    temperature: float = 1.0
    top_p: float = 1.0
    length_penalty: float = 1.0
    repetition_penalty: float = 1.0
    no_repeat: int = 0
    max_tokens: int = 64
    seed: int = 0


class Generated(NamedTuple):
    """ids [batch, length] int64 with 0 beyond the mask, mask [batch, length] bool, and the mean of the model's own
    log-probabilities over the symbols of each text with its end, [batch] float32."""

    ids: Tensor
    mask: Tensor
    mean: Tensor


def generate(advance: Advance, logits: Tensor, state: State, present: Tensor, options: Generation) -> Generated:
    """The texts of all rows; the last symbol is the end.

    logits [batch, symbols] float32: of the first symbols. state: before these are chosen. present [batch] bool: rows
    that are absent get no text, and keep nobody waiting.

    A beam that has come to its end stays where it is until enough others are better. With one beam this is greedy
    search; and drawing a symbol at random is greedy search with Gumbel noise on the log-probabilities. That noise is
    the same for each row: what is written for a sample depends on the sample and the seed, not on its neighbours.
    """
    batch, symbols = logits.shape
    end, width = symbols - 1, options.beams if options.search == "beam" else 1
    generator = torch.Generator().manual_seed(options.seed)
    ids = torch.zeros(batch, 1, 0, dtype=torch.int64, device=logits.device)  # [batch, beams, length]
    total = logits.new_zeros(batch, 1)  # of the adjusted log-probabilities, [batch, beams]
    own = logits.new_zeros(batch, 1)  # of the model's own ones
    lengths = torch.zeros_like(total)
    ended = ~present[:, None]  # [batch, beams]
    for step in range(options.max_tokens):
        beams = ended.shape[1]
        model = logits.log_softmax(dim=1)  # [batch * beams, symbols]
        adjusted = _adjusted(logits, ids.flatten(0, 1), options).log_softmax(dim=1)
        stays = torch.full_like(adjusted, -torch.inf)
        stays[:, end] = 0  # what has ended goes on with nothing but its end, which costs nothing
        adjusted = torch.where(ended.view(-1, 1), stays, adjusted).view(batch, beams, symbols)
        model = model.view(batch, beams, symbols).masked_fill(ended[..., None], 0)
        candidates = total[..., None] + adjusted  # [batch, beams, symbols]
        lengths = lengths + ~ended
        ranked = candidates / lengths[..., None].clamp(min=1) ** options.length_penalty
        if options.search == "sample":
            ranked = candidates - torch.empty(symbols).exponential_(generator=generator).log().to(logits.device)
        ranks, best = ranked.flatten(1).topk(min(width, beams * symbols), dim=1)  # [batch, new beams]
        parents, chosen = best // symbols, best % symbols
        total = candidates.flatten(1).gather(1, best)
        own = own.gather(1, parents) + model.flatten(1).gather(1, best)
        lengths = lengths.gather(1, parents)
        ids = torch.cat([ids.gather(1, parents[..., None].expand(-1, -1, step)), chosen[..., None]], dim=2)
        ended = ended.gather(1, parents) | (chosen == end) | total.isinf()
        # What goes on only loses probability: at its best it is compared by this, with all the length there may be.
        hope = total / options.max_tokens**options.length_penalty
        reached = torch.where(ended, ranks, -torch.inf).amax(dim=1, keepdim=True)  # [batch, 1]
        if step + 1 == options.max_tokens or (ended | (hope < reached)).all():
            break
        if width > 1:
            rows = (parents + beams * torch.arange(batch, device=best.device)[:, None]).flatten()
            state = tuple(part[rows] for part in state)
        logits, state = advance(chosen.flatten(), state)
    found = ids[:, 0]  # the first beam is the best one
    mask = (found != end) & present[:, None]
    return Generated(found.masked_fill(~mask, 0), mask, own[:, 0] / lengths[:, 0].clamp(min=1))


def _adjusted(logits: Tensor, before: Tensor, options: Generation) -> Tensor:
    """logits [rows, symbols] as the options want them after the symbols `before` [rows, length]."""
    if options.repetition_penalty != 1:
        there = torch.zeros_like(logits, dtype=torch.bool).scatter_(1, before, True)
        less = torch.where(logits > 0, logits / options.repetition_penalty, logits * options.repetition_penalty)
        logits = torch.where(there, less, logits)
    if 0 < options.no_repeat <= before.shape[1]:
        logits = logits.masked_fill(_repeats(before, options.no_repeat, logits.shape[1]), -torch.inf)
    if options.search == "sample":
        logits = logits / options.temperature
    if options.search == "sample" and options.top_p < 1:
        shares, order = logits.softmax(dim=1).sort(dim=1, descending=True)
        beyond = (shares.cumsum(dim=1) - shares) >= options.top_p  # what goes before has enough; the first one stays
        logits = logits.masked_fill(beyond.gather(1, order.argsort(dim=1)), -torch.inf)
    return logits


def _repeats(before: Tensor, length: int, symbols: int) -> Tensor:
    """Which symbols would end a run of that length which is among `before` [rows, steps]: [rows, symbols] bool."""
    runs = before.unfold(1, length, 1)  # [rows, runs, length]
    last = before[:, before.shape[1] - length + 1 :]  # [rows, length - 1]
    same = (runs[..., :-1] == last[:, None]).all(dim=2)  # [rows, runs]
    banned = torch.zeros(len(before), symbols + 1, dtype=torch.bool, device=before.device)
    return banned.scatter_(1, torch.where(same, runs[..., -1], symbols), True)[:, :-1]
