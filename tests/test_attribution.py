"""What each stream is worth, of little pipelines that were trained where the answer is known."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mmsdk
from mmsdk.errors import CheckpointError, ConfigError, DataError
from mmsdk.evaluation.attribution import Worth, explain, explain_run
from mmsdk.evaluation.measuring import evaluate
from mmsdk.pipeline.pipeline import Pipeline

STREAM = {"modality": {"type": "features"}, "encoder": {"type": "mlp", "width": 16}}
Rows = list[dict[str, Any]]


def config(heads: dict[str, Any], streams: str = "abz", **changes: Any) -> dict[str, Any]:
    training = {"epochs": 25, "batch_size": 32, "learning_rate": 0.01, "device": "cpu", "threads": 1}
    fusion = {"type": "gated", "width": 16}
    return {"streams": dict.fromkeys(streams, STREAM), "fusion": fusion, "heads": heads, "training": training} | changes


def signal(bit: int, draw: random.Random) -> list[float]:
    return [2 * bit - 1 + draw.gauss(0, 0.1), draw.gauss(0, 1)]


def trained(folder: Path, settings: dict[str, Any], rows: Rows) -> Pipeline:
    return mmsdk.train(settings, rows, out=folder / "run", show=False).pipeline


def shares_add_up(worth: Worth) -> None:
    """To what all streams reach beyond none, in the metric and in each sample."""
    nothing, *_, everything = worth.figures.values()
    assert sum(worth.shapley.values()) == pytest.approx(everything - nothing, abs=1e-9)
    for sample in worth.samples:
        assert sum(sample.shapley.values()) == pytest.approx(sample.value - sample.prior, abs=1e-6)


def test_xor_is_shared_by_two_that_need_each_other(tmp_path: Path) -> None:
    draw = random.Random(0)

    def row(number: int) -> dict[str, Any]:
        a, b = draw.random() < 0.5, draw.random() < 0.5
        return {"a": signal(a, draw), "b": signal(b, draw), "z": signal(draw.random() < 0.5, draw), "y": int(a ^ b)}

    rows = [row(number) for number in range(600)]
    head = {"y": {"type": "classification", "target": "y", "hidden": [16]}}
    pipeline = trained(tmp_path, config(head, fusion={"type": "concat", "width": 16}), rows[:400])
    worth = explain(pipeline, rows[400:], rows[:400])
    shares_add_up(worth)
    assert worth.metric == "accuracy" and worth.larger_is_better and worth.rows == 200 and worth.weights is None
    assert worth.figures[frozenset("abz")] > 0.95
    assert worth.figures[frozenset("abz")] == evaluate(pipeline, {"mine": rows[400:]})["mine/y/accuracy"]
    assert worth.shapley["a"] == pytest.approx(worth.shapley["b"], abs=0.08) and worth.shapley["a"] > 0.15
    assert abs(worth.shapley["z"]) < 0.06
    assert worth.interactions[frozenset("ab")] > 0.3
    assert all(abs(worth.interactions[frozenset(pair)]) < 0.15 for pair in ("az", "bz"))
    means = {name: np.mean([sample.shapley[name] for sample in worth.samples]) for name in "abz"}
    assert min(means["a"], means["b"]) > 0.1 > abs(means["z"])
    assert all(sample.known for sample in worth.samples)


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pipeline, Rows]:
    """Two streams that say the same, of which now and then one is absent; two thirds of the labels are 1."""
    draw, rows = random.Random(0), []
    for number in range(600):
        bit = int(draw.random() < 2 / 3)
        row = {"id": f"r{number}", "a": signal(bit, draw), "b": signal(bit, draw), "y": bit, "amount": 10.0 * bit}
        row |= {"tags": ["some"] + ["one"] * bit}
        rows.append({name: value for name, value in row.items() if name != "abx"[number % 3]})
    heads = {
        "y": {"type": "classification", "target": "y"},
        "amount": {"type": "regression", "target": "amount"},
        "tags": {"type": "multilabel", "target": "tags"},
        "vote": {"type": "classification", "target": "y", "reads": ["a", "b"], "decision": {"type": "decision_mean"}},
        "near": {"type": "contrastive", "reads": ["a", "b"], "width": 4},
    }
    folder = tmp_path_factory.mktemp("twins")
    return trained(folder, config(heads, streams="ab"), rows[:400]), rows


def test_two_that_say_the_same_share_and_replace_each_other(twins: tuple[Pipeline, Rows]) -> None:
    pipeline, rows = twins
    whole = [row for row in rows[400:] if {"a", "b"} <= row.keys()]
    for head in ("y", "vote"):
        worth = explain(pipeline, whole, rows[:400], head=head)
        shares_add_up(worth)
        ones = [row["y"] for row in whole]
        assert worth.figures[frozenset()] == pytest.approx(np.mean(ones))  # the majority of the training samples
        assert worth.figures[frozenset("a")] > 0.97 and worth.figures[frozenset("b")] > 0.97
        assert worth.shapley["a"] == pytest.approx(worth.shapley["b"], abs=0.02) and worth.shapley["a"] > 0.1
        assert worth.interactions[frozenset("ab")] == pytest.approx(np.mean(ones) - 1, abs=0.04)
    assert worth.weights is None  # it reads no fusion
    weights = explain(pipeline, whole, rows[:400], head="y").weights
    assert weights is not None and sum(weights.values()) == pytest.approx(1) and min(weights.values()) > 0.2


def test_an_absent_stream_is_worth_nothing_in_its_sample(twins: tuple[Pipeline, Rows]) -> None:
    pipeline, rows = twins
    worth = explain(pipeline, rows[400:], rows[:400], head="y")
    shares_add_up(worth)
    prior = np.mean([row["y"] for row in rows[:400]])
    for row, sample in zip(rows[400:], worth.samples, strict=True):
        assert sample.id == row["id"] and sample.label == str(row["y"])
        assert sample.prior == pytest.approx(prior if row["y"] else 1 - prior, abs=1e-5)
        assert all(sample.shapley[name] == 0 for name in "ab" if name not in row)


def test_numbers_and_several_labels(twins: tuple[Pipeline, Rows]) -> None:
    pipeline, rows = twins
    amount = explain(pipeline, rows[400:], rows[:400], head="amount")
    shares_add_up(amount)
    assert amount.metric == "mae" and not amount.larger_is_better and min(amount.shapley.values()) < -1
    mean = np.mean([row["amount"] for row in rows[:400]])
    assert all(sample.prior == pytest.approx(mean, abs=1e-3) and sample.label is None for sample in amount.samples)
    predicted = [result["amount"].value for result in pipeline.predict(rows[400:])]
    assert [sample.value for sample in amount.samples] == pytest.approx(predicted, abs=1e-4)
    tags = explain(pipeline, rows[400:], rows[:400], head="tags")
    shares_add_up(tags)
    assert tags.metric == "micro_f1"
    assert {tuple(sorted(sample.label)) for sample in tags.samples} == {("some",), ("one", "some")}


def test_where_no_label_is_known_the_predicted_one_is_explained(twins: tuple[Pipeline, Rows]) -> None:
    pipeline, rows = twins
    some = [{name: value for name, value in row.items() if name != "y" or n % 2} for n, row in enumerate(rows[400:])]
    worth = explain(pipeline, some, rows[:400], head="y")
    shares_add_up(worth)
    assert worth.rows == 100 and [sample.known for sample in worth.samples] == [False, True] * 100
    assert all(sample.value >= 0.5 for sample in worth.samples[::2])


def table(path: Path, rows: Rows, split: str) -> Path:
    path.write_text("".join(json.dumps({"split": split, **row}) + "\n" for row in rows))
    return path


def test_a_run_on_the_command_line(tmp_path: Path, cli: Any, twins: tuple[Pipeline, Rows]) -> None:
    rows = twins[1]
    data = tmp_path / "data.jsonl"
    table(data, rows[:400], "train")
    data.write_text(data.read_text() + table(tmp_path / "test.jsonl", rows[400:], "test").read_text())
    heads = {"y": {"type": "classification", "target": "y"}, "amount": {"type": "regression", "target": "amount"}}
    settings = config(heads, streams="ab", data={"path": str(data), "split_column": "split"})
    settings["training"] |= {"epochs": 2}
    run = mmsdk.train(settings, out=tmp_path / "run", show=False).run
    found = explain_run(run)
    assert [(worth.split, worth.head) for worth in found] == [("test", "y"), ("test", "amount")]
    given = ("explain", run, "--split", "test", "--head", "y")
    told = cli(*given, "--json", "--samples", tmp_path / "samples.jsonl")
    assert told.exit_code == 0, told.output
    (result,) = json.loads(told.stdout)["explained"]
    assert result["shapley"] == found[0].shapley and result["figures"][0]["streams"] == []
    assert [each["streams"] for each in result["interactions"]] == [["a", "b"]]
    lines = [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text().splitlines()]
    assert len(lines) == 200 and lines[0].keys() > {"id", "label", "prior", "value", "shapley", "head", "split"}
    shown = cli(*given).stdout
    assert "test/y/accuracy" in shown and "█" in shown and "a + b" in shown and "weight" in shown
    other = cli("explain", run, "--data", tmp_path / "test.jsonl")  # the prior is still that of the run's own data
    assert other.exit_code == 0 and "test/amount/mae, where lower is better" in other.stdout
    mistakes = {
        ("--split", "dev"): "There is no split 'dev'. There is: 'train', 'test'",
        ("--head", "yy"): "There is no head 'yy'. Did you mean 'y'?",
        ("--samples", tmp_path / "none" / "s.jsonl"): "cannot be written",
        ("--data", table(tmp_path / "bare.jsonl", [{"a": [1.0, 1.0]}], "x")): "no row has a value in 'y'",
    }
    for options, message in mistakes.items():
        refused = cli("explain", run, *options)
        assert refused.exit_code == 1 and message in refused.stderr, refused.stderr
    (run / "pipeline/pipeline.json").unlink()
    unfinished = cli("explain", run)
    assert unfinished.exit_code == 1 and "has not finished yet" in unfinished.stderr


def test_heads_that_cannot_be_explained(twins: tuple[Pipeline, Rows]) -> None:
    pipeline, rows = twins
    with pytest.raises(ConfigError, match=r"Those that can be: 'y', 'amount', 'tags', 'vote'"):
        explain(pipeline, rows, rows)
    with pytest.raises(ConfigError, match=r"Head 'near' \(contrastive\) has no target"):
        explain(pipeline, rows, rows, head="near")
    with pytest.raises(DataError, match="'rows' has no rows"):
        explain(pipeline, [], rows, head="y")
    with pytest.raises(DataError, match="No training row has a value in 'y'"):
        explain(pipeline, rows, [{"a": [1.0, 1.0]}], head="y")


def test_a_pipeline_alone_does_not_know_its_training_samples(tmp_path: Path, twins: tuple[Pipeline, Rows]) -> None:
    pipeline, rows = twins
    pipeline.save(tmp_path / "alone")
    path = table(tmp_path / "rows.jsonl", rows[400:], "test")
    with pytest.raises(DataError, match="does not know what it was trained on: name the run"):
        explain_run(tmp_path / "alone", path, head="y")
    with pytest.raises(CheckpointError, match="no saved pipeline here"):
        explain_run(tmp_path / "nowhere", path)


def test_attention_finds_the_word_that_tells(tmp_path: Path) -> None:
    """One word in each text tells all, the rest and the numbers are noise."""
    draw, noise = random.Random(0), ["a", "b", "c", "d", "e", "f", "g", "h"]

    def row(number: int) -> dict[str, Any]:
        bit = draw.random() < 0.5
        words = [draw.choice(noise) for _ in range(6)]
        words.insert(draw.randrange(7), "yes" if bit else "no")
        return {"id": f"r{number}", "words": " ".join(words), "numbers": [draw.gauss(0, 1)] * 3, "y": bit}

    rows = [row(number) for number in range(600)]
    settings = config({"y": {"type": "classification", "target": "y"}}, "")
    settings["streams"] = {
        "words": {"modality": {"type": "text"}, "encoder": {"type": "bag", "width": 16}},
        "numbers": STREAM,
    }
    settings["fusion"] = {"type": "perceiver", "width": 16, "latents": 2, "dropout": 0}
    pipeline = trained(tmp_path, settings, rows[:500])
    del rows[-1]["numbers"]
    worth = explain(pipeline, rows[500:], rows[:500])
    assert worth.figures[frozenset({"words", "numbers"})] > 0.95
    found = 0
    for sample, row in zip(worth.samples, rows[500:], strict=True):
        shares, pieces = sample.attention["words"], sample.pieces["words"]
        assert [piece for piece in pieces if piece] == row["words"].split()
        assert sum(map(sum, sample.attention.values())) == pytest.approx(1, abs=1e-5)
        found += pieces[int(np.argmax(shares))] in ("yes", "no")
    assert found / len(worth.samples) > 0.9
    assert set(worth.samples[-1].attention) == {"words"}
    assert worth.weights is not None and worth.weights["words"] + worth.weights["numbers"] == pytest.approx(1)
