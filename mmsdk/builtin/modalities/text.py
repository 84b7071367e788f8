"""Text, as token ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from mmsdk.builtin.modalities.fitted import fitted
from mmsdk.builtin.modalities.padding import padded
from mmsdk.builtin.modalities.scalars import shown, whole_text
from mmsdk.builtin.modalities.token_corruptions import drawn, token_corruptions
from mmsdk.builtin.modalities.tokenization import Kind, Tokens, learned, read
from mmsdk.containers import Inputs
from mmsdk.errors import ConfigError, DecodeError
from mmsdk.formats import Format
from mmsdk.interfaces import Corruption, Modality

Ids = NDArray[np.int64]
CHARACTERS = 64
"""Per token that is kept, so many of a text are looked at: what comes after them is cut off before it costs anything.
A word, its spaces and all, is shorter; ten megabytes of one letter would take most of a minute."""


class Text(Modality):
    """Text, cut into tokens. Kind "tokens": ids [n, length] int64, mask [n, length] bool.

    An item is the ids of one text, [length], at least one. Ids 0 to 4 are [PAD] [UNK] [BOS] [EOS] [MASK]; no
    text can spell them. With `file`, a tokenizer.json, nothing is learned; that file's special tokens count.
    """

    fits = True

    def __init__(
        self,
        tokenizer: Kind = "words",
        file: Path | None = None,
        lowercase: bool = True,
        vocabulary: int = 10_000,
        min_count: int = 1,
        max_length: int = 128,
        word_dropout: float = 0.0,
    ) -> None:
        self.kind, self.file, self.lowercase = tokenizer, file, lowercase
        self.vocabulary, self.min_count = vocabulary, min_count
        self.max_length, self.word_dropout = max_length, word_dropout
        self._tokens: Tokens | None = None

    def fit(self, values: Iterable[Any]) -> None:
        """Learn the tokenizer, or read its file. Values that are no text are passed over.

        Raises:
            ConfigError: the file cannot be read, or does not go with `word_dropout`.
        """
        texts = _texts(values)
        if self.file is None:
            tokenizer = learned(self.kind, texts, self.lowercase, self.vocabulary, self.min_count)
        else:
            tokenizer = read(self.file)
        for _ in texts:  # a file or bytes need none, but whoever gives them may count how many there are
            pass
        tokens = Tokens.of(tokenizer, self.max_length)
        if self.word_dropout and tokens.unknown is None:
            raise ConfigError(f"'{self.file}' has no token for unknown words: set 'word_dropout' to 0")
        self._tokens = tokens

    @property
    def tokens(self) -> Tokens:
        return fitted(self._tokens, self)

    @property
    def format(self) -> Format:
        return Format("tokens", vocabulary=max(self.tokens.tokenizer.get_vocab().values()) + 1)

    def state(self) -> dict[str, Any]:
        return {"tokenizer": self.tokens.tokenizer.to_str()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._tokens = Tokens.of(Tokenizer.from_str(state["tokenizer"]), self.max_length)

    def prepare(self, value: Any) -> Ids:
        ids = self.tokens.tokenizer.encode(_text(value, CHARACTERS * self.max_length)).ids[: self.max_length]
        return np.array(ids, dtype=np.int64) if ids else self.blank()

    def blank(self) -> Ids:
        """One unknown token; also what a text without any token becomes."""
        tokens = self.tokens
        return np.array([tokens.padding if tokens.unknown is None else tokens.unknown], dtype=np.int64)

    @property
    def augments(self) -> bool:
        return bool(self.word_dropout)

    def augment(self, item: Ids, rng: np.random.Generator) -> Ids:
        """Each token becomes unknown with the chance `word_dropout`."""
        if not self.word_dropout:
            return item
        return np.where(drawn(item, self.word_dropout, self.tokens.special, rng), self.blank(), item)

    @property
    def corruptions(self) -> Mapping[str, Corruption]:
        return token_corruptions(self.tokens.special, self.blank())

    def length(self, item: Ids) -> int:
        return len(item)

    def collate(self, items: Sequence[Ids]) -> Inputs:
        ids, mask = padded(items, fill=self.tokens.padding)
        return {"ids": ids, "mask": mask}

    def decode(self, tensors: Inputs) -> list[str]:
        """The texts of ids and mask, both [n, length], without special tokens."""
        rows = zip(tensors["ids"], tensors["mask"], strict=True)
        return [self._text_of(ids[mask].tolist()) for ids, mask in rows]

    def _text_of(self, ids: list[int]) -> str:
        tokenizer, special = self.tokens.tokenizer, self.tokens.special
        return tokenizer.decode([place for place in ids if place not in special]).strip()


def _text(value: Any, most: int | None = None) -> str:
    """The text, or its first `most` characters."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | np.number):
        raise DecodeError(f"expected text, got {shown(value)}")
    try:
        return whole_text(str(value)[:most])
    except ValueError:  # a number with more digits than Python writes
        raise DecodeError("expected text, got a number of thousands of digits") from None


def _texts(values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        try:
            yield _text(value)
        except DecodeError:
            continue
