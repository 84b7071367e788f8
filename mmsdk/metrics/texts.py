"""Figures of texts: of each token after the true ones before it, and of texts that were written alone.

The latter compare ids, not characters: their words are the tokens of the target's tokenizer.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from typing import Any

import torch
from torch import Tensor

from mmsdk.containers import HeadOutput, Inputs
from mmsdk.errors import ConfigError
from mmsdk.metrics.base import NAN, SumMetric


class TokenAccuracy(SumMetric):
    """The share of symbols, tokens and ends of texts, that are most probable after the true ones before them."""

    def __init__(self) -> None:
        super().__init__(2)

    def add(self, output: HeadOutput, target: Inputs) -> Tensor:
        return torch.stack([output.generated["right"].sum(), output.generated["symbols"].sum()])

    def compute(self) -> float:
        return float(self.sums[0] / self.sums[1])


class Perplexity(SumMetric):
    """exp of the mean negative log-probability of a symbol after the true ones before it; 1 is the best there is."""

    larger_is_better = False

    def __init__(self) -> None:
        super().__init__(2)

    def add(self, output: HeadOutput, target: Inputs) -> Tensor:
        assert output.scores is not None
        symbols = output.generated["symbols"].double()  # [batch]
        return torch.stack([(output.scores.double() * symbols).sum(), symbols.sum()])

    def compute(self) -> float:
        return float((-self.sums[0] / self.sums[1]).exp())


class TextMetric(SumMetric):
    """Base of figures that are the mean of what each text gets, beside its true one."""

    def __init__(self) -> None:
        super().__init__(2)

    @abstractmethod
    def value(self, said: list[int], true: list[int]) -> float:
        """What one text gets, in 0..1."""

    def add(self, output: HeadOutput, target: Inputs) -> Tensor:
        values = [self.value(said, true) for said, true in pairs(output, target)]
        return torch.tensor([sum(values), len(values)], dtype=torch.float64)

    def compute(self) -> float:
        return float(self.sums[0] / self.sums[1])


class ExactMatch(TextMetric):
    """The share of texts that are the true ones, token by token."""

    def value(self, said: list[int], true: list[int]) -> float:
        return float(said == true)


class TokenF1(TextMetric):
    """The mean F1 of the tokens of a text, in any order, each as often as it is there.

    Rajpurkar et al., "SQuAD: 100,000+ Questions for Machine Comprehension of Text", 2016.
    """

    def value(self, said: list[int], true: list[int]) -> float:
        return _f1((Counter(said) & Counter(true)).total(), said, true)


class RougeL(TextMetric):
    """The mean F1 of the longest common subsequence (Lin, "ROUGE: A Package for Automatic Evaluation of Summaries",
    2004; with beta = 1)."""

    def value(self, said: list[int], true: list[int]) -> float:
        longest = [0] * (len(true) + 1)  # of the tokens said so far, and the first so many true ones
        for token in said:
            before = longest
            longest = [0]
            for place, other in enumerate(true):
                longest.append(before[place] + 1 if token == other else max(before[place + 1], longest[place]))
        return _f1(longest[-1], said, true)


class Bleu(SumMetric):
    """Corpus BLEU with up to four tokens in a row, in 0..100, as sacrebleu computes it (Papineni et al., "BLEU: a
    Method for Automatic Evaluation of Machine Translation", 2002; Post, "A Call for Clarity in Reporting BLEU Scores",
    2018). Its signature would say `tok:none`: the tokens are those of the target.

    Raises:
        ConfigError: sacrebleu is not installed.
    """

    def __init__(self) -> None:
        super().__init__(10)  # right and all runs of one to four tokens, and the tokens of what is said and true
        self.bleu = _sacrebleu()

    def add(self, output: HeadOutput, target: Inputs) -> Tensor:
        texts = [[" ".join(map(str, ids)) for ids in pair] for pair in pairs(output, target)]
        if not texts:
            return torch.zeros(10, dtype=torch.float64)
        found = self.bleu(tokenize="none", force=True).corpus_score(
            [said for said, _ in texts], [[t for _, t in texts]]
        )
        return torch.tensor([*found.counts, *found.totals, found.sys_len, found.ref_len], dtype=torch.float64)

    def compute(self) -> float:
        *runs, said, true = self.sums.int().tolist()
        counts, totals = runs[:4], runs[4:]
        if not true:
            return NAN
        return float(self.bleu.compute_bleu(counts, totals, said, true, smooth_method="exp").score)


def _sacrebleu() -> Any:
    try:
        from sacrebleu.metrics import BLEU
    except ImportError as error:
        raise ConfigError(f"Metric 'bleu' needs sacrebleu ({error}): pip install 'mmsdk[captions]'") from None
    return BLEU


def pairs(output: HeadOutput, target: Inputs) -> list[tuple[list[int], list[int]]]:
    """The ids that were written and the true ones, of each row that has both."""
    assert output.present is not None
    said, mask = output.generated["ids"], output.generated["mask"]
    rows = (output.present & target["present"]).nonzero()[:, 0].tolist()
    return [(said[row][mask[row]].tolist(), target["ids"][row][target["mask"][row]].tolist()) for row in rows]


def _f1(common: int, said: list[int], true: list[int]) -> float:
    return 2 * common / (len(said) + len(true)) if said or true else 1.0
