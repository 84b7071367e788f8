"""The metrics of texts, by hand and against sacrebleu, over several batches and several processes."""

from __future__ import annotations

import math
import pickle  # noqa: TID251 - metrics travel between processes like that
from typing import Any

import pytest
import torch
from sacrebleu.metrics import BLEU

from mmsdk.containers import HeadOutput, Inputs
from mmsdk.metrics import Bleu, ExactMatch, Perplexity, RougeL, TokenAccuracy, TokenF1

SAID = ["the cat sat on the mat", "a dog", "", "birds fly high in the sky", "cat the", "one two three four five"]
TRUE = ["the cat sat on a mat", "a dog", "a dog", "birds fly in the blue sky", "the cat", "none of it is right"]
WORDS = sorted({word for text in SAID + TRUE for word in text.split()})


def tensors(texts: list[str]) -> dict[str, torch.Tensor]:
    ids = [torch.tensor([WORDS.index(word) for word in text.split()], dtype=torch.int64) for text in texts]
    mask = [torch.ones(len(each), dtype=torch.bool) for each in ids]
    padded = torch.nn.utils.rnn.pad_sequence
    return {"ids": padded(ids, batch_first=True, padding_value=3), "mask": padded(mask, batch_first=True)}


def given(said: list[str], true: list[str], present: list[bool], known: list[bool]) -> tuple[HeadOutput, Inputs]:
    output = HeadOutput(present=torch.tensor(present), generated=tensors(said))
    return output, {**tensors(true), "present": torch.tensor(known)}


def measured(make: Any) -> float:
    """Three batches on two processes, with rows that have no text to compare."""
    first, second = make(), make()
    assert math.isnan(first.compute())
    with torch.inference_mode():
        first.update(*given(SAID[:2], TRUE[:2], [True] * 2, [True] * 2))
        first.update(*given([*SAID[2:3], "the"], [*TRUE[2:3], "the"], [True, False], [True, True]))
        second.update(*given([*SAID[3:], "the"], [*TRUE[3:], "the"], [True] * 4, [True] * 3 + [False]))
        second.update(*given(["a"], ["a"], [False], [True]))
    first.merge(pickle.loads(pickle.dumps(second)))  # noqa: S301
    found = first.compute()
    assert isinstance(found, float)
    return found


def test_exact_match() -> None:
    assert measured(ExactMatch) == pytest.approx(1 / 6)


def test_token_f1() -> None:
    """Each token counts as often as it is there: of "the cat sat on the mat", 5 of 6."""
    assert measured(TokenF1) == pytest.approx((5 / 6 + 1 + 0 + 5 / 6 + 1 + 0) / 6)


def test_rouge_l() -> None:
    """The longest common subsequences have 5, 2, 0, 5, 1 and 0 tokens."""
    assert measured(RougeL) == pytest.approx((5 / 6 + 1 + 0 + 2 * 5 / 12 + 1 / 2 + 0) / 6)


def test_bleu() -> None:
    expected = BLEU(tokenize="none").corpus_score(SAID, [TRUE]).score
    assert 10 < expected < 90
    assert measured(Bleu) == pytest.approx(expected)


def test_bleu_by_hand() -> None:
    """One text of five tokens, all of whose runs are right, beside one of six: only brevity is punished."""
    metric = Bleu()
    metric.update(*given(["the cat sat on a"], ["the cat sat on a mat"], [True], [True]))
    assert metric.compute() == pytest.approx(100 * math.exp(1 - 6 / 5))


def test_what_follows_true_tokens() -> None:
    """Two texts of three and one symbols; the third does not count."""
    accuracy, perplexity = TokenAccuracy(), Perplexity()
    assert math.isnan(accuracy.compute()) and math.isnan(perplexity.compute())
    output = HeadOutput(
        scores=torch.tensor([math.log(0.5), math.log(0.25), 0]),
        present=torch.tensor([True, True, False]),
        generated={"symbols": torch.tensor([3, 1, 0]), "right": torch.tensor([2, 1, 0])},
    )
    target = {"present": torch.tensor([True, True, True])}
    for metric in (accuracy, perplexity):
        metric.update(output, target)
    assert accuracy.compute() == pytest.approx(3 / 4) and accuracy.larger_is_better
    assert perplexity.compute() == pytest.approx((0.5**3 * 0.25) ** (-1 / 4)) and not perplexity.larger_is_better


def test_two_empty_texts_are_equal() -> None:
    for metric in (ExactMatch(), TokenF1(), RougeL()):
        metric.update(*given([""], [""], [True], [True]))
        assert metric.compute() == 1
