"""What two streams say only together is learned at feature level and not at decision level, as the docs page shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parent.parent / "docs/feature_and_decision_level.md"


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """The names of the page's code: rows, configs, and `accuracy(name, seed)`, which trains with `mmsdk.train`."""
    names: dict[str, Any] = {}
    for code in re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S):
        if not code.startswith("for "):  # the loop that prints is what this test does
            exec(compile(code, PAGE.name, "exec", dont_inherit=True), names)
    return names


def test_neither_stream_alone_tells_anything(page: dict[str, Any]) -> None:
    for rows in page["data"].values():
        for stream in ("words", "tone"):
            kinds = {word: kind for kind, words in (page["WORDS"] | page["TONES"]).items() for word in words}
            seen = [(kind, row["meant"]) for row in rows for word in row[stream].split() if (kind := kinds.get(word))]
            assert len(seen) == len(rows)
            assert {seen.count(pair) for pair in set(seen)} == {len(rows) / 4}


@pytest.mark.parametrize("seed", range(5))
def test_feature_level_learns_xor_and_decision_level_cannot(page: dict[str, Any], seed: int) -> None:
    assert page["accuracy"]("concat", seed) >= 0.99
    assert page["accuracy"]("decision_mean", seed) <= 0.78  # 0.75 is the most that any sum of two scores can reach
