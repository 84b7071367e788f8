from __future__ import annotations

import copy
import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from mmsdk.builtin.declarations.modalities import TextConfig
from mmsdk.builtin.modalities.text import Text
from mmsdk.errors import ConfigError, DataError, DecodeError
from mmsdk.formats import Format

KINDS = ["words", "bpe", "bytes"]
TEXTS = ["the Dog barks!", "the cat and the dog", "a cat, a dog: two animals", "naïve 日本 text"]


def fitted(**options: object) -> Text:
    text = Text(**options)  # type: ignore[arg-type]
    text.fit(TEXTS)
    return text


def bert_like(path: Path, unknown: str | None = "[UNK]") -> Path:
    """A tokenizer.json with a template, another order of special tokens, and no id of ours."""
    words = ["the", "[CLS]", "[SEP]", "cat", "[PAD]", *([unknown] if unknown else [])]
    model = models.WordLevel({word: place for place, word in enumerate(words)}, unk_token=unknown or "the")
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([word for word in words if word.startswith("[")])
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 1), ("[SEP]", 2)])
    tokenizer.enable_padding(length=50)
    tokenizer.save(str(path))
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_texts_come_back(kind: str) -> None:
    text = fitted(tokenizer=kind)
    raw = ["the cat and the dog", "a cat", "naïve 日本"]
    assert text.decode(text.collate([text.prepare(value) for value in raw])) == raw


@pytest.mark.parametrize("kind", KINDS)
def test_special_tokens_have_the_first_ids_and_cannot_be_spelt(kind: str) -> None:
    text = fitted(tokenizer=kind, lowercase=False)
    names = [text.tokens.tokenizer.id_to_token(place) for place in range(5)]
    assert names == ["[PAD]", "[UNK]", "[BOS]", "[EOS]", "[MASK]"]
    assert not {0, 2, 3, 4} & set(text.prepare("[PAD] [BOS][EOS] the [MASK]").tolist())


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_the_training_texts_does_not_matter(kind: str) -> None:
    numbers = random.Random(0)
    texts = [f"{numbers.choice('abcdef') * 2} {numbers.randrange(30)} same" for _ in range(200)]
    states = set()
    for seed in range(3):
        random.Random(seed).shuffle(texts)
        text = Text(tokenizer=kind, vocabulary=290)  # type: ignore[arg-type]
        text.fit(texts)
        states.add(text.state()["tokenizer"])
    assert len(states) == 1


def test_vocabulary_and_rare_words_are_bounded() -> None:
    assert fitted(vocabulary=7).format == Format("tokens", vocabulary=7)
    frequent = fitted(min_count=2)
    assert frequent.prepare("dog").tolist() != [1]
    assert frequent.prepare("barks").tolist() == [1]
    assert fitted(tokenizer="bpe", vocabulary=270).format.vocabulary <= 270
    assert fitted(tokenizer="bytes").format.vocabulary == 261


def test_what_has_no_known_token_is_one_unknown_token() -> None:
    text = fitted()
    for value in ["", "   ", "zebra", "\n"]:
        assert text.prepare(value).tolist() == [1]
    assert text.blank().tolist() == [1]


def test_case_numbers_and_length() -> None:
    text = fitted(max_length=3)
    assert text.prepare("THE dog").tolist() == text.prepare("the Dog").tolist()
    assert len(text.prepare("the the the the the")) == 3
    cased = fitted(lowercase=False)
    assert cased.prepare("Dog").tolist() != cased.prepare("dog").tolist()
    numbers = Text()
    numbers.fit([3, 2.5, "3"])
    assert numbers.prepare(3).tolist() == numbers.prepare("3").tolist() != [1]


@pytest.mark.parametrize("value", [["a"], {"a": 1}, True, b"text"])
def test_what_is_no_text_is_refused_and_passed_over_in_fitting(value: object) -> None:
    text = Text()
    text.fit([value, "word"])
    assert text.format.vocabulary == 6
    with pytest.raises(DecodeError, match="expected text, got"):
        text.prepare(value)


def test_half_characters_become_question_marks() -> None:
    text = fitted(tokenizer="bytes")
    assert text.decode(text.collate([text.prepare("a\ud800b")])) == ["a?b"]


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60))
def test_any_text_gives_ids_of_the_vocabulary(value: str) -> None:
    for kind in KINDS:
        text = ANY[kind]
        ids = text.prepare(value)
        assert ids.dtype == np.int64
        assert 1 <= len(ids) <= text.max_length
        assert ids.min() > 0 and ids.max() < text.format.vocabulary


ANY = {kind: fitted(tokenizer=kind) for kind in KINDS}


def test_batches_are_padded_with_zeros() -> None:
    text = fitted()
    inputs = text.collate([text.prepare("the cat"), text.prepare("the cat and the dog")])
    assert inputs["ids"].dtype == torch.int64
    assert inputs["mask"].tolist() == [[True, True, False, False, False], [True] * 5]
    assert inputs["ids"][0, 2:].tolist() == [0, 0, 0]
    assert text.length(text.prepare("the cat")) == 2


def test_word_dropout_is_reproducible_and_leaves_the_item_alone() -> None:
    text = fitted(word_dropout=0.5)
    item = text.prepare(" ".join(["dog"] * 100))
    before = item.copy()
    variants = [text.augment(item, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert np.array_equal(item, before)
    assert np.array_equal(variants[0], variants[1]) and not np.array_equal(variants[0], variants[2])
    assert 30 < (variants[0] == 1).sum() < 70
    assert variants[0].dtype == item.dtype and set(variants[0].tolist()) == {1, int(item[0])}
    assert fitted().augment(item, np.random.default_rng(0)) is item


@pytest.mark.parametrize("kind", KINDS)
def test_state_survives_json_and_copies(kind: str) -> None:
    text = fitted(tokenizer=kind)
    other = Text(tokenizer=kind)  # type: ignore[arg-type]
    other.restore(json.loads(json.dumps(text.state())))
    twin = copy.deepcopy(text)  # made like one on its way into a worker process
    for value in ["The dog [PAD] barks", "日本 zebra"]:
        assert text.prepare(value).tolist() == other.prepare(value).tolist() == twin.prepare(value).tolist()
    assert other.format == text.format


def test_a_tokenizer_file_is_used_as_it_is_and_not_needed_afterwards(tmp_path: Path) -> None:
    file = bert_like(tmp_path / "tokenizer.json")
    text = Text(file=file, max_length=4, word_dropout=0.9)
    values = iter(["one", "two"])
    text.fit(values)
    assert next(values, None) is None  # whoever counts the training values sees them all taken
    file.unlink()
    other = Text(file=file, max_length=4, word_dropout=0.9)
    other.restore(text.state())
    item = other.prepare("the cat the cat the cat")
    assert item.tolist() == [1, 0, 3, 2]  # [CLS] the cat [SEP]
    inputs = other.collate([item, other.prepare("cat")])
    assert inputs["ids"].tolist() == [[1, 0, 3, 2], [1, 3, 2, 4]]
    assert inputs["mask"][1].tolist() == [True, True, True, False]
    assert other.decode(inputs) == ["the cat", "cat"]
    assert other.prepare("zebra").tolist() == [1, 5, 2]
    assert other.format == Format("tokens", vocabulary=6)
    assert other.augment(item, np.random.default_rng(0))[[0, 3]].tolist() == [1, 2]  # templates stay


def test_tokenizer_files_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no tokenizer file '.*missing.json'"):
        Text(file=tmp_path / "missing.json").fit([])
    (tmp_path / "other.json").write_text('{"a": 1}')
    with pytest.raises(ConfigError, match=r"Cannot read '.*other.json'.*tokenizer.json"):
        Text(file=tmp_path / "other.json").fit([])
    plain = bert_like(tmp_path / "plain.json", unknown=None)
    with pytest.raises(ConfigError, match="set 'word_dropout' to 0"):
        Text(file=plain, word_dropout=0.1).fit([])


def test_before_fitting_the_error_says_what_to_call() -> None:
    text = Text()
    for use in (
        lambda: text.prepare("a"),
        text.state,
        text.blank,
        lambda: text.format,
        lambda: text.collate([text.blank()]),
    ):
        with pytest.raises(DataError, match=r"Text has learned nothing yet: call `fit\(values\)`"):
            use()


def test_the_config_builds_it_and_refuses_a_vocabulary_without_room_for_bytes() -> None:
    text = TextConfig(tokenizer="bpe", vocabulary=300, max_length=5, word_dropout=0.1).build()
    assert isinstance(text, Text) and (text.kind, text.vocabulary, text.max_length) == ("bpe", 300, 5)
    with pytest.raises(ValidationError, match="'bpe' begins with 261 tokens"):
        TextConfig(tokenizer="bpe", vocabulary=260)
