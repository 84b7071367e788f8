"""Auxiliary heads, and what keeps streams in balance: formulas by hand, what they do, and mistakes."""

from __future__ import annotations

import json
from math import log, nan, tanh
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import mmsdk
from mmsdk import ConfigError, load_config
from mmsdk.config.balance import GradientBlendConfig, OgmGeConfig, Ramp, families, judges
from mmsdk.containers import HeadOutput
from mmsdk.errors import DataError
from mmsdk.evaluation.attribution import explainable
from mmsdk.training import loop as training
from mmsdk.training.curve import _shown, draw_curve
from mmsdk.training.gradient_blend import EVENLY, LEAST_OVERFITTING, GradientBlend, Losses, blended
from mmsdk.training.ogm_ge import coefficients, confidence
from tests.programs import made_up

ROWS = {"train": made_up.samples(40), "valid": made_up.samples(20, seed=1)}


@pytest.fixture(autouse=True)
def no_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "draw_curve", lambda entries, path: False)


def config(auxiliary: float | None = 0.3, heads: made_up.Config | None = None, **more: Any) -> made_up.Config:
    return made_up.pipeline(**more) | {"heads": heads or {"colour": {**made_up.COLOUR, "auxiliary": auxiliary}}}


def epochs(run: Path) -> list[dict[str, Any]]:
    entries = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [entry for entry in entries if entry["event"] == "epoch"]


# Auxiliary heads


def test_auxiliary_heads_are_heads_that_read_one_stream_each() -> None:
    given = load_config(config())
    assert list(given.heads) == ["colour", "colour_text", "colour_numbers", "colour_image"]
    assert (
        given.heads["colour_text"]
        == load_config(config(heads={"colour": {**made_up.COLOUR, "reads": ["text"]}})).heads["colour"]
    )
    assert load_config(given.model_dump()) == given and "colour_text" not in given.model_dump()["heads"]


@pytest.mark.parametrize(
    ("heads", "weights"),
    [
        (None, {"colour": 1.0, "shape": 1.0, "colour_text": 0.3, "colour_numbers": 0.3, "colour_image": 0.3}),
        ({"shape": 2.0}, {"shape": 2.0}),
        ({"colour": 2.0}, {"colour": 2.0, "colour_text": 0.6, "colour_numbers": 0.6, "colour_image": 0.6}),
        (
            {"colour": 1.0, "colour_text": 5.0},
            {"colour": 1, "colour_text": 5, "colour_numbers": 0.3, "colour_image": 0.3},
        ),
        ({"colour_text": 1.0}, {"colour_text": 1.0}),
    ],
)
def test_a_stage_trains_the_auxiliary_heads_of_its_heads(
    heads: dict[str, float] | None, weights: dict[str, float]
) -> None:
    tree = config() | {"stages": [{"name": "one", "heads": heads}]}
    tree["heads"]["shape"] = made_up.SHAPE
    given = load_config(tree)
    assert given.loss_weights(given.stages[0]) == pytest.approx(weights)


def test_auxiliary_heads_are_measured_and_saved_but_predict_only_when_asked(tmp_path: Path) -> None:
    trained = mmsdk.train(config(select_by="colour_text/accuracy"), ROWS, out=tmp_path, show=False)
    assert {name for name in trained.metrics if name.endswith("/accuracy")} == {
        f"valid/{name}/accuracy" for name in ("colour", "colour_text", "colour_numbers", "colour_image")
    }
    again = mmsdk.Pipeline.load(tmp_path)
    sample = {"text": "red circle"}
    assert list(again.predict(sample)[0].predictions) == ["colour"]
    assert list(again.predict(sample, heads=["colour_text", "colour_image"])[0].predictions) == ["colour_text"]
    assert again.fingerprint() == trained.pipeline.fingerprint()
    assert explainable(again) == ["colour"]
    assert mmsdk.evaluate(again, {"valid": ROWS["valid"]}) == pytest.approx(trained.metrics)


def test_the_best_epoch_is_that_of_the_head_itself_however_heavy_the_auxiliary_ones_are(tmp_path: Path) -> None:
    trained = mmsdk.train(config(auxiliary=9.0, epochs=2), ROWS, out=tmp_path, show=False)
    assert trained.metrics
    best = [entry["metrics"]["colour/accuracy"] for entry in epochs(tmp_path)]
    assert trained.metrics["valid/colour/accuracy"] == max(best)


def test_rows_without_a_stream_do_not_count_for_its_auxiliary_head(tmp_path: Path) -> None:
    rows = [{**row, "text": None} for row in made_up.samples(16, absent=0.0, untold=0.0)]
    rows[0] = {**rows[0], "text": "red circle"}
    mmsdk.train(config(batch_size=16), rows, out=tmp_path, show=False)
    (entry,) = epochs(tmp_path)
    assert entry["losses"]["colour_text"] == pytest.approx(log(3), abs=0.5)  # of one row; the mean of all, not a 16th
    assert entry["losses"]["colour_text"] > 0.5


def test_a_curve_of_many_heads_shows_the_main_metric_of_each(tmp_path: Path) -> None:
    many = {
        f"head_{number}/{metric}": 0.5 for number in range(6) for metric in ("accuracy", "ece", "f1", "log", "more")
    }
    entries = [{"event": "epoch", "stage": "one", "losses": {"a": 1.0}, "metrics": many}] * 2
    assert draw_curve(entries, tmp_path / "curve.png")
    assert _shown(list(many)) == [f"head_{number}/accuracy" for number in range(6)]
    assert _shown(list(many)[:10]) == list(many)[:10]


# OGM-GE


def test_coefficients_of_two_streams_are_those_of_the_paper() -> None:
    found = coefficients({"audio": 0.8, "video": 0.2}, alpha=0.1)
    assert found == {"audio": pytest.approx(1 - tanh(0.1 * 4)), "video": 1.0}
    assert coefficients({"audio": 0.5, "video": 0.5}, alpha=0.1) == {"audio": 1.0, "video": 1.0}


def test_coefficients_of_more_streams_compare_with_the_mean_of_the_others() -> None:
    found = coefficients({"a": 0.9, "b": 0.5, "c": 0.1}, alpha=0.5)
    assert found == {"a": pytest.approx(1 - tanh(0.5 * 0.9 / 0.3)), "b": 1.0, "c": 1.0}


@pytest.mark.parametrize("confidences", [{"a": 0.9, "b": nan}, {"a": nan, "b": nan}, {"a": 0.7}])
def test_what_cannot_be_compared_goes_on_as_it_was(confidences: dict[str, float]) -> None:
    assert coefficients(confidences, alpha=1.0) == dict.fromkeys(confidences, 1.0)


def test_a_stream_that_is_right_with_certainty_beside_one_that_never_is() -> None:
    assert coefficients({"a": 1.0, "b": 0.0}, alpha=0.5) == {"a": 0.0, "b": 1.0}


def test_confidence_is_summed_over_rows_that_are_there_and_have_a_target() -> None:
    shares = torch.tensor([[0.5, 0.5], [0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])
    output = HeadOutput(scores=shares.log(), present=torch.tensor([True, True, True, False]))
    there = torch.tensor([True, True, False, True])
    ids = torch.tensor([0, 1, 0, 0])
    assert confidence(output, {"ids": ids, "present": there}).tolist() == pytest.approx([0.6, 2.0])
    soft = torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0], [0.0, 1.0]])
    assert confidence(output, {"probabilities": soft, "present": there}).tolist() == pytest.approx([1.0, 2.0])


def test_a_step_of_the_stream_that_is_ahead_is_shorter_and_all_others_are_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One step from the same weights: with AdamW its length follows from the rate alone."""
    made: list[dict[str, Tensor]] = []
    monkeypatch.setattr("mmsdk.training.ogm_ge.coefficients", lambda confidences, alpha: {"text": 0.25, "image": 1.0})
    rows = made_up.samples(8, absent=0.0, untold=0.0)
    for balance in ("none", {"type": "ogm_ge", "noise": False}):
        given = config(balance=balance, weight_decay=0.0, warmup=0.0)
        trained = mmsdk.train(given, rows, out=tmp_path / f"{len(made)}", show=False)
        made.append({name: parameter.detach() for name, parameter in trained.pipeline.named_parameters()})
    torch.manual_seed(0)
    begun = mmsdk.Pipeline(load_config(config()), trained.pipeline.modalities)
    for name, first in begun.named_parameters():
        whole, slowed = (each[name] - first.detach() for each in made)
        share = 0.25 if name.startswith("streams.text.") else 1.0
        assert whole.abs().sum() > 0 and torch.allclose(slowed, share * whole, rtol=0, atol=1e-6), name


def test_noise_changes_encoders_alone_and_is_as_large_as_their_gradients(tmp_path: Path) -> None:
    rows = made_up.samples(64, absent=0.0, untold=0.0)
    norms = []
    for noise in (False, True):
        given = config(balance={"type": "ogm_ge", "noise": noise}, batch_size=64)
        mmsdk.train(given, rows, out=tmp_path / f"{noise}", show=False)
        lines = [json.loads(line) for line in (tmp_path / f"{noise}" / "log.jsonl").read_text().splitlines()]
        norms.append(lines[0]["norm"])
    assert norms[0] < norms[1] < 1.5 * norms[0]


def test_shared_encoders_are_slowed_down_as_one() -> None:
    tree = config() | {"streams": {**made_up.STREAMS, "more": {"shared_with": "numbers"}}}
    given = load_config(tree)
    assert judges(given, given.loss_weights(given.steps()[0])) == {
        "text": ["colour_text"],
        "numbers": ["colour_numbers", "colour_more"],
        "image": ["colour_image"],
    }


def test_streams_are_compared_on_targets_that_all_of_them_have() -> None:
    shape = {**made_up.COLOUR, "target": "shape", "reads": ["image"]}
    tree = config(heads={"colour": {**made_up.COLOUR, "auxiliary": 0.3}, "shape": shape})
    given = load_config(tree)
    assert judges(given, list(given.heads))["image"] == ["colour_image"]
    assert judges(given, ["colour", "colour_text", "shape"]) == judges(given, ["colour_text"]) == {}


@pytest.mark.parametrize("balance", ["ogm_ge", {"type": "gradient_blend", "epochs": 1}])
def test_a_stream_that_is_never_there_in_a_batch(tmp_path: Path, balance: Any) -> None:
    """Nothing is not a number, and the encoder stays as it is."""
    rows = made_up.samples(24, untold=0.0)
    for row in rows[1:]:
        row.pop("image", None)
    rows[0]["image"] = np.zeros((8, 8), dtype=int).tolist()
    given = config(balance=balance, epochs=3)
    trained = mmsdk.train(given, {"train": rows, "valid": rows[1:]}, out=tmp_path, show=False)
    assert all(torch.isfinite(parameter).all() for parameter in trained.pipeline.parameters())
    assert all(np.isfinite(list(entry["losses"].values())).all() for entry in epochs(tmp_path))


def two_streams(seed: int, count: int) -> made_up.Rows:
    """Four classes: `easy` shows them with noise, `hard` tells them exactly, by the signs of two products."""
    rng = np.random.default_rng(seed)
    rows: made_up.Rows = []
    for _ in range(count):
        hard = rng.normal(size=4)
        kind = 2 * int(hard[0] * hard[1] > 0) + int(hard[2] * hard[3] > 0)
        easy = 3 * np.eye(4)[kind] + rng.normal(size=4)
        rows.append({"easy": easy.tolist(), "hard": hard.tolist(), "kind": "abcd"[kind]})
    return rows


def weak_accuracy(folder: Path, seed: int, **training_: Any) -> float:
    """How well the hard stream alone does; its own head is a probe, whose weight is too small to teach the encoder."""
    encoder = {"type": "mlp", "width": 16, "hidden": 32, "dropout": 0}
    given = {
        "streams": {name: {"modality": "features", "encoder": encoder} for name in ("easy", "hard")},
        "fusion": {"type": "concat", "width": 16},
        "heads": {"kind": {"type": "classification", "target": "kind", "auxiliary": 0.001}},
        "training": {
            **{"epochs": 12, "learning_rate": 0.003, "schedule": "constant", "keep": "last", "seed": seed},
            **{"threads": 1, "device": "cpu", **training_},
        },
    }
    rows = {"train": two_streams(seed, 600), "valid": two_streams(seed + 99, 600)}
    return mmsdk.train(given, rows, out=folder, show=False).metrics["valid/kind_hard/accuracy"]


@pytest.mark.slow
def test_the_weak_stream_learns_more_where_the_easy_one_is_slowed_down_or_dropped(tmp_path: Path) -> None:
    ways: dict[str, dict[str, Any]] = {
        "none": {},
        "slowed": {"balance": {"type": "ogm_ge", "alpha": 1.0, "noise": False}},
        "dropped": {"modality_dropout": {"easy": 0.5}},
    }
    found = {
        name: [weak_accuracy(tmp_path / f"{name}{seed}", seed, **way) for seed in (1, 2)] for name, way in ways.items()
    }
    gains = {name: np.subtract(found[name], found["none"]) for name in ("slowed", "dropped")}
    assert gains["slowed"].min() > 0.03 and gains["slowed"].mean() > 0.1, found
    assert gains["dropped"].min() > 0.03 and gains["dropped"].mean() > 0.1, found


# Gradient blending


def test_weights_are_generalization_over_overfitting_squared() -> None:
    before = {"a": Losses(2.0, 2.0), "b": Losses(2.0, 2.1)}
    now = {"a": Losses(1.0, 1.4), "b": Losses(1.7, 1.9)}
    ratio = {"a": 0.6 / 0.4**2, "b": 0.2 / 0.1**2}  # gains 0.6 and 0.2, gaps grown by 0.4 and 0.1
    whole = sum(ratio.values())
    expected = {name: (1 - EVENLY) * each / whole + EVENLY / 2 for name, each in ratio.items()}
    assert blended(before, now) == pytest.approx(expected, abs=6e-4)
    assert sum(expected.values()) == pytest.approx(1.0)


def test_a_head_that_has_become_worse_keeps_only_what_is_spread_evenly() -> None:
    before = dict.fromkeys("ab", Losses(1.0, 1.0))
    assert blended(before, {"a": Losses(0.5, 0.9), "b": Losses(0.5, 1.2)}) == pytest.approx(
        {"a": 1 - EVENLY / 2, "b": EVENLY / 2}
    )


def test_overfitting_counts_as_a_share_of_the_largest_at_least() -> None:
    before = dict.fromkeys("ab", Losses(1.0, 1.0))
    shares = blended(before, {"a": Losses(0.5, 0.5), "b": Losses(0.0, 0.5)})
    ratio = LEAST_OVERFITTING**-2
    assert shares is not None and shares["a"] == pytest.approx(
        (1 - EVENLY) * ratio / (ratio + 1) + EVENLY / 2, abs=6e-4
    )


def test_without_any_overfitting_gains_alone_count_and_without_gains_nothing_changes() -> None:
    before = dict.fromkeys("ab", Losses(1.0, 1.0))
    shares = blended(before, {"a": Losses(0.25, 0.25), "b": Losses(0.75, 0.75)})
    assert shares == pytest.approx({"a": (1 - EVENLY) * 0.75 + EVENLY / 2, "b": (1 - EVENLY) * 0.25 + EVENLY / 2})
    assert blended(before, {"a": Losses(0.1, 1.0), "b": Losses(0.1, 1.5)}) is None


def test_families_are_heads_of_one_type_and_target() -> None:
    shape = {**made_up.SHAPE, "reads": ["fused"], "decision": None}
    given = load_config(config(heads={"colour": {**made_up.COLOUR, "auxiliary": 1}, "shape": shape}))
    (family,) = families(given, list(given.heads))
    assert family == ["colour", "colour_text", "colour_numbers", "colour_image"]
    assert families(given, ["colour", "shape"]) == []


def test_weights_in_the_log_add_up_to_those_of_the_config(tmp_path: Path) -> None:
    given, rows = made_up.blended()
    mmsdk.train(given, rows, out=tmp_path, show=False)
    told = [entry.get("weights") for entry in epochs(tmp_path)]
    assert [weights is not None for weights in told] == [False, *[False, True] * 3, False]
    for weights in filter(None, told):
        assert weights.pop("match") == 1.0 and len(weights) == 4
        assert (
            sum(weights.values()) == pytest.approx(2.5, abs=1e-2) and min(weights.values()) >= 2.5 * EVENLY / 4 - 2e-3
        )
    assert told[2] != told[4]


def test_losses_are_those_that_metrics_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    losses = GradientBlend._losses

    def noting(self: GradientBlend) -> dict[str, Losses]:
        seen.append(losses(self))
        return seen[-1]

    monkeypatch.setattr(GradientBlend, "_losses", noting)
    given = config(balance={"type": "gradient_blend", "epochs": 1}, epochs=2)
    mmsdk.train(given, ROWS, out=tmp_path, show=False)
    first = epochs(tmp_path)[0]["metrics"]
    assert len(seen) == 2
    for name, own in seen[1].items():
        assert own.valid == pytest.approx(first[f"{name}/log_loss"], rel=1e-5)


# Choices and mistakes


def test_short_and_long_forms() -> None:
    def chosen(balance: Any) -> Any:
        return load_config(config(balance=balance)).training.balance

    assert chosen("none") is None and chosen(None) is None
    assert chosen("ogm_ge") == chosen({"type": "ogm_ge"}) == OgmGeConfig()
    assert chosen({"type": "gradient_blend", "epochs": 2}) == GradientBlendConfig(epochs=2)


NO_HEADS = "Add 'auxiliary: 0.3' to head 'colour', or write 'balance: none'."


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (config(balance="ogm"), "training.balance: There is no balance 'ogm'. Did you mean 'ogm_ge'?"),
        (config(balance=3), "training.balance: There is no balance 3. Choose 'none', 'ogm_ge', 'gradient_blend'."),
        (config(balance={"alpha": 1}), "training.balance: Say which, such as {type: ogm_ge}. Choose 'none', 'ogm_ge'"),
        (config(balance={"type": "ogm_ge", "alpha": 0}), "training.balance.alpha: should be greater than 0, found 0"),
        (config(balance={"type": "gradient_blend", "epoch": 1}), "balance.epoch: Unknown key 'epoch'. Did you mean"),
        (config(None, balance="ogm_ge"), f"no stage trains heads that read one stream each. {NO_HEADS}"),
        (config(None, balance="gradient_blend"), f"several heads of the same type for it. {NO_HEADS}"),
        (
            config(heads={"match": made_up.MATCH}, balance="ogm_ge"),
            "Add a head such as {type: classification, reads: [fused], auxiliary: 0.3}, or write 'balance: none'.",
        ),
        (
            config(balance="ogm_ge") | {"stages": [{"name": "a", "heads": {"colour_text": 1}}]},
            "heads that read one stream",
        ),
        (config(auxiliary=0), "heads.colour.auxiliary: should be greater than 0, found 0"),
        (
            config(heads={"shape": {**made_up.SHAPE, "auxiliary": 1}}),
            "shape.auxiliary: Is for a head that reads 'fused' alone, found 'fused', 'numbers', 'image': remove it.",
        ),
        (
            config(heads={"match": {**made_up.MATCH, "auxiliary": 1}}),
            "match.auxiliary: Head 'contrastive' gives no scores of single streams; heads such as 'classification'",
        ),
        (
            config(heads={"colour": {**made_up.COLOUR, "auxiliary": 1}, "colour_text": made_up.COLOUR}),
            "heads.colour_text: 'auxiliary' of head 'colour' makes a head 'colour_text' for stream 'text': rename this",
        ),
        (
            config() | {"streams": {"text": made_up.STREAMS["text"]}},
            "heads.colour.auxiliary: There is only one stream: remove it.",
        ),
        (config(modality_dropout={"txt": 0.1}), "modality_dropout.txt: There is no stream 'txt'. Did you mean 'text'?"),
        (config(modality_dropout={"text": 1}), "training.modality_dropout.text: should be less than 1, found 1"),
        (
            config(modality_dropout={"text": {"from": 0}}),
            "dropout.text.from: Unknown key 'from'. Known: 'start', 'end'.",
        ),
        (config(modality_dropout=0.1), "training.modality_dropout: should be a mapping, found 0.1"),
    ],
)
def test_mistakes(tree: made_up.Config, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load_config(tree)
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_a_mistake_in_a_copied_head_is_told_once() -> None:
    with pytest.raises(ConfigError) as raised:
        load_config(config(heads={"colour": {**made_up.COLOUR, "target": None, "auxiliary": 1}}))
    assert str(raised.value) == "config: heads.colour: Head 'classification' needs 'target: <column>'."


def test_numbers_cannot_be_compared_as_confidences(tmp_path: Path) -> None:
    number = {"type": "regression", "target": "number", "auxiliary": 0.3}
    rows = [{**row, "number": float(place)} for place, row in enumerate(made_up.samples(10))]
    with pytest.raises(ConfigError, match=r"head 'number_text' \(regression\) gives none: write 'balance: grad"):
        mmsdk.train(config(heads={"number": number}, balance="ogm_ge"), rows, out=tmp_path / "one", show=False)
    given = config(heads={"number": number}, balance={"type": "gradient_blend", "epochs": 1}, epochs=2)
    mmsdk.train(given, {"train": rows, "valid": rows}, out=tmp_path / "other", show=False)
    assert "weights" in epochs(tmp_path / "other")[0]


def test_gradient_blending_needs_a_valid_split(tmp_path: Path) -> None:
    given = config(balance="gradient_blend")
    with pytest.raises(DataError, match=r"split 'valid' \(it has no rows\). Give lists of rows for both, data="):
        mmsdk.train(given, ROWS["train"], out=tmp_path, show=False)
    untold = [{key: value for key, value in row.items() if key != "colour"} for row in ROWS["valid"]]
    with pytest.raises(DataError, match=r"no row in it has the target of head 'colour'\)"):
        mmsdk.train(given, {"train": ROWS["train"], "valid": untold}, out=tmp_path, show=False)


def test_a_ramp_is_linear() -> None:
    ramp = Ramp(start=0.5, end=0.1)
    assert [ramp.at(progress) for progress in (0.0, 0.25, 1.0)] == pytest.approx([0.5, 0.4, 0.1])
    assert Ramp.model_validate(0.3) == Ramp(start=0.3, end=0.3)
