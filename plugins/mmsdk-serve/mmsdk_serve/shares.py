"""What each stream did for one answer: Shapley values of the confidence, over all subsets of the sample's streams."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from math import factorial
from typing import Any

from mmsdk import Result
from mmsdk_serve.inputs import Column

MOST = 5
"""Streams: 31 subsets."""


def present(sample: Mapping[str, Any], columns: Mapping[str, Column]) -> list[str]:
    """The streams that have a value."""
    return list(dict.fromkeys(columns[name].stream for name, value in sample.items() if value is not None))


def subsets(sample: Mapping[str, Any], columns: Mapping[str, Column]) -> dict[frozenset[str], dict[str, Any]]:
    """The sample with each proper subset of its streams, the empty one aside; nothing where there are too many."""
    streams = present(sample, columns)
    if not 1 < len(streams) <= MOST:
        return {}
    chosen = (frozenset(each) for size in range(1, len(streams)) for each in combinations(streams, size))
    return {
        subset: {name: value for name, value in sample.items() if columns[name].stream in subset} for subset in chosen
    }


def shares_of(whole: Result, parts: Mapping[frozenset[str], Result], streams: Sequence[str]) -> dict[str, Any]:
    """By head, the share of each stream in the score of what was predicted; they add up to what it is above chance.

    Shapley, "A Value for n-Person Games", 1953. With no stream at all every label counts as equally likely. A head
    without scores is left out, and so is one that some subset does not tell anything about.
    """
    found: dict[str, Any] = {}
    for head, prediction in whole.predictions.items():
        scores = prediction.scores
        if not scores or not isinstance(prediction.value, str) or prediction.value not in scores:
            continue
        value = {frozenset[str](): 1 / len(scores), frozenset(streams): scores[prediction.value]}
        for subset, result in parts.items():
            told = result.predictions.get(head)
            if told is not None and told.scores is not None:
                value[subset] = told.scores.get(prediction.value, 0.0)
            else:  # this head reads none of them
                value[subset] = value[frozenset()]
        found[head] = {stream: _share(stream, streams, value) for stream in streams}
    return found


def _share(stream: str, streams: Sequence[str], value: Mapping[frozenset[str], float]) -> float:
    others = [each for each in streams if each != stream]
    count = len(streams)
    return sum(
        factorial(len(subset)) * factorial(count - len(subset) - 1) / factorial(count)
        * (value[subset | {stream}] - value[subset])
        for subset in _all(others)
    )  # fmt: skip


def _all(names: Sequence[str]) -> Iterable[frozenset[str]]:
    return (frozenset(each) for size in range(len(names) + 1) for each in combinations(names, size))
