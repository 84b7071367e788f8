"""The masked head: what is hidden, what is told of it, and that other streams help."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

import mmsdk
from mmsdk.builtin.declarations.heads import MaskedConfig
from mmsdk.builtin.heads.hiding import hide, patches, unpatched
from mmsdk.builtin.heads.masked import Masked
from mmsdk.containers import Encoding, Step

IDS = torch.randint(1, 50, (40, 12), generator=torch.Generator().manual_seed(0))
MASK = torch.arange(12) < torch.randint(1, 13, (40, 1), generator=torch.Generator().manual_seed(1))
TOKENS = {"ids": IDS * MASK, "mask": MASK}


@pytest.mark.parametrize("generator", [None, torch.Generator().manual_seed(0)])
def test_tokens_are_hidden_as_in_bert(generator: torch.Generator | None) -> None:
    view = hide(TOKENS, "tokens", 0.3, 8, 50, generator)
    hidden, ids = view["hidden"], view["ids"]
    assert not (hidden & ~MASK).any() and hidden.any(dim=1).all()
    assert 0.25 < hidden.sum() / MASK.sum() < 0.45  # one at least of each row, short ones too
    assert torch.equal(ids[~hidden], TOKENS["ids"][~hidden]) and torch.equal(view["truth"], TOKENS["ids"])
    empty = (ids[hidden] == 0).double().mean()
    stayed = (ids[hidden] == TOKENS["ids"][hidden]).double().mean()
    assert 0.7 < empty < 0.9 and 0.03 < stayed < 0.2 and ids.max() < 50


def test_outside_of_training_it_follows_from_the_row() -> None:
    whole = hide(TOKENS, "tokens", 0.3, 8, 50, None)
    longer = {key: torch.nn.functional.pad(part, (0, 3)) for key, part in TOKENS.items()}
    alone = hide({key: part[7:8] for key, part in longer.items()}, "tokens", 0.3, 8, 50, None)
    for key in ("hidden", "ids"):
        assert torch.equal(alone[key][0, :12], whole[key][7])
    drawn = hide(TOKENS, "tokens", 0.3, 8, 50, torch.Generator().manual_seed(5))
    assert not torch.equal(drawn["hidden"], whole["hidden"])


def test_numbers_are_set_to_zero() -> None:
    values = torch.randn(40, 12, 3)
    view = hide({"values": values, "mask": MASK}, "sequence", 0.5, 8, 3, None)
    assert not view["values"][view["hidden"]].any()
    assert torch.equal(view["values"][~view["hidden"]], values[~view["hidden"]]) and torch.equal(view["truth"], values)


def test_patches_are_cut_and_put_back() -> None:
    pixels = torch.rand(2, 3, 9, 14)
    cut = patches(pixels, 4)
    assert cut.shape == (2, 2 * 3, 48)
    assert torch.equal(cut[0, 4], pixels[0, :, 4:8, 4:8].flatten())  # row by row
    assert torch.equal(unpatched(cut, pixels, 4), pixels)
    view = hide({"pixels": pixels}, "pixels", 0.5, 4, 48, None)
    changed = (patches(view["pixels"], 4) != cut).any(dim=2)
    assert torch.equal(changed, view["hidden"]) and torch.equal(view["pixels"][:, :, 8:], pixels[:, :, 8:])


@pytest.mark.parametrize("reads", [["fused"], ["text"], ["fused.a", "fused.b"]])
def test_it_reads_the_stream_that_it_hides(reads: list[str]) -> None:
    with pytest.raises(ValidationError, match="the stream that is to be hidden"):
        MaskedConfig(reads=reads)


def test_kinds_that_cannot_be_hidden_are_told() -> None:
    with pytest.raises(mmsdk.ConfigError, match="stream 'sound' gives 'waveform'"):
        MaskedConfig(reads=["fused.sound"]).build({"fused.sound": mmsdk.Source(4, 4, mmsdk.Format("waveform"))}, None)


def test_an_encoder_that_shortens_is_told() -> None:
    head = Masked(4, 50, "text", "tokens")
    inputs = head.view({"text": TOKENS}, None)
    short = Encoding(torch.zeros(40, 5, 4), MASK[:, :5], torch.zeros(40, 4))
    step = Step(inputs, {"text": torch.arange(40)}, lambda _: pytest.fail(), {}, lambda t: t, 0, None)  # type: ignore[arg-type,return-value]
    with pytest.raises(mmsdk.ConfigError, match="makes 5 tokens of 12 steps"):
        head({"fused.text": short}, None, step)
    with pytest.raises(mmsdk.ConfigError, match="comes encoded from a cache"):
        head.view({"text": short}, None)


@pytest.mark.parametrize("helped", [True, False])
def test_another_stream_helps_to_tell_hidden_words(helped: bool, tmp_path: Path) -> None:
    """Each sentence names a number that only the other stream knows; that word is told with it, and not without."""
    rng = np.random.default_rng(0)
    words = ["zero", "one", "two", "three", "four", "five"]
    rows: list[dict[str, Any]] = []
    for _ in range(400):
        number = int(rng.integers(6))
        rows.append({"text": words[number], "hint": np.eye(6)[number if helped else rng.integers(6)].tolist()})
    config = {
        "streams": {
            "text": {"modality": "text", "encoder": {"type": "transformer", "width": 24, "layers": 1, "dropout": 0}},
            "hint": {"modality": "features", "encoder": {"type": "mlp", "width": 24}},
        },
        "fusion": {"type": "transformer", "width": 24, "layers": 1, "dropout": 0},
        "heads": {"word": {"type": "masked", "reads": ["fused.text"]}},
        "training": {"epochs": 8, "learning_rate": 0.005, "batch_size": 20},
    }
    trained = mmsdk.train(config, {"train": rows[:300], "test": rows[300:]}, out=tmp_path / "run", show=False)
    accuracy = trained.metrics["test/word/accuracy"]
    # One of ten hidden words stays to be seen; without a hint the rest is guessed, one of six.
    assert accuracy > 0.9 if helped else accuracy < 0.45


def test_patches_of_an_image_are_predicted(tmp_path: Path) -> None:
    ramps = np.linspace(0, 1, 16)[None, :, None] * np.ones((16, 16, 3))
    rng = np.random.default_rng(0)
    rows = [{"image": np.clip(ramps * rng.uniform(0.3, 1), 0, 1)} for _ in range(80)]
    config = {
        "streams": {
            "image": {"modality": {"type": "image", "size": 16}, "encoder": {"type": "vit", "width": 24, "patch": 4}}
        },
        "fusion": {"type": "transformer", "width": 24, "layers": 1, "dropout": 0},
        "heads": {"patch": {"type": "masked", "reads": ["fused.image"], "share": 0.5, "patch": 4}},
        "training": {"epochs": 60, "learning_rate": 0.01, "batch_size": 10},
    }
    trained = mmsdk.train(config, {"train": rows[:60], "test": rows[60:]}, out=tmp_path / "run", show=False)
    everything = np.stack([row["image"] for row in rows[60:]])
    assert trained.metrics["test/patch/mean_squared_error"] < 0.3 * everything.var()
