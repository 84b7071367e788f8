"""Tokenizers: learned from texts, or read from a file, with the ids that a modality has to know."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from mmsdk.errors import ConfigError

SPECIAL = ["[PAD]", "[UNK]", "[BOS]", "[EOS]", "[MASK]"]
"""Ids 0 to 4 of every tokenizer that is learned here."""
BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
"""The 256 characters that stand for bytes."""

Kind = Literal["words", "bpe", "bytes"]


@dataclass(frozen=True)
class Tokens:
    """A tokenizer with its special ids.

    special: ids that are no part of a text. padding: the id that fills up.
    unknown: the id of what is not in the vocabulary; None where the tokenizer has no such token.
    """

    tokenizer: Tokenizer
    special: frozenset[int]
    padding: int
    unknown: int | None

    @classmethod
    def of(cls, tokenizer: Tokenizer, max_length: int) -> Tokens:
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_length)
        added = {place for place, token in tokenizer.get_added_tokens_decoder().items() if token.special}
        named = {place for name in SPECIAL if (place := tokenizer.token_to_id(name)) is not None}
        padding = _id_of(tokenizer, "[PAD]", "<pad>")
        return cls(tokenizer, frozenset(added | named), padding or 0, _id_of(tokenizer, "[UNK]", "<unk>"))


def _id_of(tokenizer: Tokenizer, *names: str) -> int | None:
    found = (tokenizer.token_to_id(name) for name in names)
    return next((place for place in found if place is not None), None)


def learned(
    kind: Kind,
    texts: Iterable[str],
    lowercase: bool = True,
    vocabulary: int = 10_000,
    min_count: int = 1,
) -> Tokenizer:
    """A tokenizer for these texts; the same one whatever their order. The arguments are those of `Text`."""
    if kind == "bytes":
        vocab = {token: place for place, token in enumerate([*SPECIAL, *BYTES])}
        return _assembled(kind, models.BPE(vocab=vocab, merges=[]), lowercase)
    limits: dict[str, Any] = {"vocab_size": vocabulary, "min_frequency": min_count}
    model: models.Model
    trainer: trainers.Trainer
    if kind == "words":
        model = models.WordLevel(unk_token="[UNK]")
        trainer = trainers.WordLevelTrainer(special_tokens=SPECIAL, show_progress=False, **limits)
    else:
        model = models.BPE()
        trainer = trainers.BpeTrainer(special_tokens=SPECIAL, show_progress=False, initial_alphabet=BYTES, **limits)
    trained = _assembled(kind, model, lowercase)
    trained.train_from_iterator(texts, trainer)
    # Here a text with "[PAD]" in it would contain that special token; with the model alone it does not.
    return _assembled(kind, trained.model, lowercase)


def _assembled(kind: Kind, model: models.Model, lowercase: bool) -> Tokenizer:
    tokenizer = Tokenizer(model)
    cases = [normalizers.Lowercase()] if lowercase else []
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), *cases])
    if kind == "words":
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    else:
        pieces = kind == "bpe"
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=pieces, use_regex=pieces)
        tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def read(file: Path) -> Tokenizer:
    """The tokenizer of a tokenizer.json.

    Raises:
        ConfigError: there is no such file, or it is something else.
    """
    if not file.is_file():
        raise ConfigError(f"There is no tokenizer file '{file}'. Give the path of a tokenizer.json.")
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises nothing more specific
        raise ConfigError(
            f"Cannot read '{file}': {error}. Expected a tokenizer.json of the tokenizers library."
        ) from None
