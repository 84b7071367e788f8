"""`transformers.tokens`: text as the ids of a model's own tokenizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from mmsdk import ConfigError, Corruption, DecodeError, Format, Inputs, Modality, token_corruptions
from mmsdk_transformers.source import ModelSource

Ids = NDArray[np.int64]
CHARACTERS = 64
"""Per token that is kept, so many of a text are looked at; what comes after them is cut off before it costs anything.
"""


class Tokens(Modality):
    """Text, cut into tokens. Kind "tokens": ids [n, length] int64, mask [n, length] bool; id 0 where the mask is False.

    An item is the ids of one text, [length], at least one. The tokenizer.json of the source is read when it is first
    needed, and kept in the state.

    special: whether the tokenizer adds its special tokens, such as a beginning and an end; without them no text can
    spell them either, as a text to be written wants it.
    """

    def __init__(self, source: ModelSource, max_length: int = 512, special: bool = True) -> None:
        self.source, self.max_length, self.special = source, max_length, special
        self._tokenizer: Tokenizer | None = None

    @property
    def tokenizer(self) -> Tokenizer:
        if self._tokenizer is None:
            self._tokenizer = self._ready(read(self.source))
        return self._tokenizer

    @property
    def format(self) -> Format:
        return Format("tokens", vocabulary=max(self.tokenizer.get_vocab().values()) + 1)

    def state(self) -> dict[str, Any]:
        return {"tokenizer": self.tokenizer.to_str()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._tokenizer = self._ready(Tokenizer.from_str(state["tokenizer"]))

    def prepare(self, value: Any) -> Ids:
        """A text; a number counts as text."""
        if isinstance(value, bool) or not isinstance(value, str | int | float | np.number):
            raise DecodeError(f"expected text, got {type(value).__name__}")
        try:
            text = str(value)[: CHARACTERS * self.max_length]
        except ValueError:  # a number with more digits than Python writes
            raise DecodeError("expected text, got a number of thousands of digits") from None
        ids = self._ids(text.encode("utf-8", "replace").decode("utf-8"))
        return np.array(ids, dtype=np.int64) if ids else self.blank()

    def blank(self) -> Ids:
        """What an empty text gives; one token of id 0 where that is nothing."""
        return np.array(self._ids("") or [0], dtype=np.int64)

    @property
    def corruptions(self) -> Mapping[str, Corruption]:
        return token_corruptions(self.blank().tolist(), self.blank())

    def length(self, item: Ids) -> int:
        return len(item)

    def collate(self, items: Sequence[Ids]) -> Inputs:
        lengths = torch.tensor([len(item) for item in items])
        mask = torch.arange(int(lengths.max())) < lengths[:, None]  # [n, length]
        ids = torch.zeros(mask.shape, dtype=torch.int64)
        ids[mask] = torch.from_numpy(np.concatenate(list(items)))
        return {"ids": ids, "mask": mask}

    def decode(self, tensors: Inputs) -> list[str]:
        """Texts, without special tokens."""
        rows = zip(tensors["ids"].cpu(), tensors["mask"].cpu(), strict=True)
        return self.tokenizer.decode_batch([ids[mask].tolist() for ids, mask in rows])

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=self.special).ids

    def _ready(self, tokenizer: Tokenizer) -> Tokenizer:
        """Its own padding and truncation, which differ from file to file, are replaced."""
        tokenizer.no_padding()
        tokenizer.enable_truncation(self.max_length)
        tokenizer.encode_special_tokens = not self.special
        return tokenizer


def read(source: ModelSource) -> Tokenizer:
    """The tokenizer of a model.

    Raises:
        ConfigError: it has none in the format of the library tokenizers, or the file is damaged.
    """
    path = source.find("tokenizer.json")
    if path is None:
        source.file("config.json")  # says what is wrong where there is no model at all
        raise ConfigError(
            f"model '{source.model}': it has no 'tokenizer.json'. Write it, once: python -c "
            f"\"from transformers import AutoTokenizer; AutoTokenizer.from_pretrained('{source.model}')"
            ".save_pretrained('FOLDER')\""
        )
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing more specific
        raise ConfigError(f"{path}: cannot be read: {error}") from None
