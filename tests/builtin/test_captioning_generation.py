"""Writing texts: greedy, beams and samples, against plain loops over every text of a tiny vocabulary."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from mmsdk.builtin.heads.generation import Generated, Generation, generate
from mmsdk.builtin.layers.decoders import State

BATCH, SYMBOLS, LENGTH = 5, 4, 4
END = SYMBOLS - 1


class Chain:
    """A text model of its own per row: how probable a symbol is depends on the last one alone."""

    def __init__(self, seed: int = 0, batch: int = BATCH, symbols: int = SYMBOLS) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.first = 2 * torch.randn(batch, symbols, generator=generator)
        self.then = 2 * torch.randn(batch, symbols, symbols, generator=generator)
        self.calls = 0

    def advance(self, last: Tensor, state: State) -> tuple[Tensor, State]:
        """The state holds each row's own table: beams that mix rows up are found out."""
        self.calls += 1
        (then,) = state
        return then[torch.arange(len(last)), last], state

    def write(self, rows: slice = slice(None), present: Tensor | None = None, **options: Any) -> Generated:
        first = self.first[rows]
        there = torch.ones(len(first), dtype=torch.bool) if present is None else present
        return generate(self.advance, first, (self.then[rows],), there, Generation(**{"max_tokens": LENGTH, **options}))

    def mean_of(self, row: int, text: list[int]) -> float:
        """The mean log-probability of a text with its end, or without where it was cut off."""
        whole = [*text, END] if len(text) < LENGTH else text
        first = self.first[row].log_softmax(0)[whole[0]]
        rest = [self.then[row, last].log_softmax(0)[symbol] for last, symbol in pairwise(whole)]
        return float(torch.stack([first, *rest]).mean())


def texts(said: Generated) -> list[list[int]]:
    assert said.ids.dtype is torch.int64 and not said.ids[~said.mask].any()
    return [ids[mask].tolist() for ids, mask in zip(said.ids, said.mask, strict=True)]


def every_text(length: int) -> Iterator[list[int]]:
    yield []
    if length:
        yield from ([symbol, *rest] for symbol in range(END) for rest in every_text(length - 1))


@pytest.mark.parametrize("penalty", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_enough_beams_find_the_best_of_all_texts(penalty: float, seed: int) -> None:
    chain = Chain(seed)
    said = chain.write(search="beam", beams=SYMBOLS**LENGTH, length_penalty=penalty)

    def score(row: int, text: list[int]) -> float:
        length = min(len(text) + 1, LENGTH)
        return chain.mean_of(row, text) * length / length**penalty

    best = [max(every_text(LENGTH), key=lambda text: score(row, text)) for row in range(BATCH)]
    assert texts(said) == best
    assert said.mean.tolist() == pytest.approx([chain.mean_of(row, text) for row, text in enumerate(best)], abs=1e-5)


def plain_beams(chain: Chain, row: int, beams: int, penalty: float) -> list[int]:
    """Beam search as one would write it for a single text."""
    found: list[tuple[float, list[int], bool]] = [(0.0, [], False)]
    for _ in range(LENGTH):
        candidates = [each for each in found if each[2]]
        for total, text, ended in found:
            if not ended:
                logits = chain.then[row, text[-1]] if text else chain.first[row]
                for symbol, share in enumerate(logits.log_softmax(0).tolist()):
                    candidates.append((total + share, text + [symbol] * (symbol != END), symbol == END))
        found = sorted(candidates, key=lambda each: -each[0] / (len(each[1]) + each[2]) ** penalty)[:beams]
    return found[0][1]


@pytest.mark.parametrize("beams", [1, 2, 3])
@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_few_beams_are_those_of_a_plain_search(beams: int, penalty: float) -> None:
    chain = Chain(batch=40)
    said = chain.write(search="beam", beams=beams, length_penalty=penalty)
    assert texts(said) == [plain_beams(chain, row, beams, penalty) for row in range(40)]


def test_greedy_is_one_beam_is_the_most_probable_each_time() -> None:
    chain = Chain(batch=40)
    expected = []
    for row in range(40):
        text, symbol = [], int(chain.first[row].argmax())
        while symbol != END and len(text) < LENGTH:
            text.append(symbol)
            symbol = int(chain.then[row, symbol].argmax())
        expected.append(text)
    greedy = chain.write()
    assert texts(greedy) == expected == texts(chain.write(search="beam", beams=1))
    assert len({len(text) for text in expected}) > 2
    means = [chain.mean_of(row, text) for row, text in enumerate(expected)]
    assert greedy.mean.tolist() == pytest.approx(means, abs=1e-5)


@pytest.mark.parametrize("options", [{}, {"search": "beam"}, {"search": "sample"}], ids=["greedy", "beam", "sample"])
def test_neighbours_do_not_matter(options: dict[str, Any]) -> None:
    chain = Chain()
    whole = texts(chain.write(**options))
    assert whole == [texts(chain.write(slice(row, row + 1), **options))[0] for row in range(BATCH)]


@pytest.mark.parametrize("search", ["greedy", "beam", "sample"])
def test_it_stops_when_nothing_can_be_better(search: Any) -> None:
    chain = Chain()
    chain.first[:, END] = chain.then[:, :, END] = 50.0
    chain.first[0], chain.then[0, 1] = torch.tensor([0.0, 50, 0, 0]), torch.tensor([0.0, 0, 50, 0])
    present = torch.tensor([True, True, False, True, True])
    said = chain.write(search=search, max_tokens=30, present=present)
    assert texts(said) == [[1, 2], [], [], [], []]
    assert chain.calls == 2  # for the symbol after 1, and for the one after 2
    chain.calls = 0
    assert texts(chain.write(search=search, present=torch.zeros(BATCH, dtype=torch.bool))) == [[]] * BATCH
    assert chain.calls == 0


def test_the_longest_text_has_max_tokens() -> None:
    chain = Chain()
    chain.first[:, END] = chain.then[:, :, END] = -50.0
    for search in ("greedy", "beam", "sample"):
        assert {len(text) for text in texts(chain.write(search=search, max_tokens=7))} == {7}


def test_samples_follow_the_probabilities() -> None:
    chain = Chain(batch=2)
    drawn = torch.tensor(
        [[len(text) and 1 + text[0] for text in texts(chain.write(search="sample", seed=seed))] for seed in range(800)]
    )  # 0 for no text, else 1 + its first token: [seeds, rows]
    shares = torch.stack([(drawn == value).float().mean(dim=0) for value in (1, 2, 3, 0)], dim=1)
    torch.testing.assert_close(shares, chain.first.softmax(dim=1), atol=0.05, rtol=0)
    assert texts(chain.write(search="sample", seed=3)) == texts(chain.write(search="sample", seed=3))


def test_cold_or_narrow_samples_are_greedy() -> None:
    chain = Chain(batch=40)
    greedy = texts(chain.write())
    assert texts(chain.write(search="sample", temperature=1e-4)) == greedy
    assert texts(chain.write(search="sample", top_p=1e-4)) == greedy
    assert texts(chain.write(search="sample")) != greedy


def test_top_p_keeps_the_fewest_that_have_that_share() -> None:
    chain = Chain(batch=1)
    chain.first[0] = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    for top_p, symbols in ((0.45, {0}), (0.6, {0, 1}), (0.81, {0, 1, 2}), (1.0, {0, 1, 2, END})):
        drawn = {
            tuple(texts(chain.write(search="sample", top_p=top_p, seed=seed, max_tokens=1))[0]) for seed in range(150)
        }
        assert drawn == {(symbol,) if symbol != END else () for symbol in symbols}


def test_the_repetition_penalty_by_hand() -> None:
    """Divides what is positive, multiplies what is negative, once however often a symbol is there."""
    chain = Chain(batch=1)
    chain.first[0] = torch.tensor([9.0, 0, 0, 0])
    chain.then[0] = torch.tensor([[2.0, 1.5, 0, -9], [-1.0, -1.5, -1.7, -9], [0, 0, 0, 9], [0, 0, 0, 9]])
    assert texts(chain.write()) == [[0, 0, 0, 0]]
    assert texts(chain.write(repetition_penalty=1.3)) == [[0, 0, 0, 0]]  # 2 / 1.3 > 1.5
    assert texts(chain.write(repetition_penalty=1.4)) == [[0, 1, 0, 0]]  # -1 * 1.4 > -1.7, and 2 / 1.4 > 1.5 / 1.4
    assert texts(chain.write(repetition_penalty=1.8)) == [[0, 1, 2]]  # -1 * 1.8 < -1.7
    said = chain.write(repetition_penalty=1.8)
    assert said.mean.tolist() == pytest.approx([chain.mean_of(0, [0, 1, 2])], abs=1e-5)  # the model's own opinion


@pytest.mark.parametrize("search", ["greedy", "beam", "sample"])
@pytest.mark.parametrize("length", [1, 2, 3])
def test_no_run_comes_twice(search: Any, length: int) -> None:
    chain = Chain(batch=20)
    chain.first[:, END] = chain.then[:, :, END] = -20.0
    free, said = (texts(chain.write(search=search, max_tokens=40, no_repeat=each)) for each in (0, length))

    def twice(text: list[int]) -> bool:
        runs = [tuple(text[start : start + length]) for start in range(len(text) - length + 1)]
        return len(set(runs)) < len(runs)

    assert all(map(twice, free)) and not any(map(twice, said))
    assert max(map(len, said)) <= END**length + length - 1  # then only the end is left
    assert length > 1 or {tuple(sorted(text)) for text in said} <= {(0, 1, 2)}


def test_the_options_can_be_changed() -> None:
    options = replace(Generation(), search="beam", beams=2)
    assert (options.search, options.beams, options.max_tokens) == ("beam", 2, 64)
