"""`mmsdk compare`: who takes part, what is judged, going on after a stop, what comes out, and every mistake."""

from __future__ import annotations

import csv
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

import mmsdk
from mmsdk.comparison.contestants import contestants
from mmsdk.comparison.costs import costs
from mmsdk.comparison.judging import Judged, judge
from mmsdk.comparison.task import Task, task_of
from mmsdk.comparison.telling import as_markdown, sentence
from mmsdk.comparison.tournament import compare
from mmsdk.errors import CheckpointError, ConfigError, DataError, UnknownComponentError
from mmsdk.plugins.registry import Registry
from tests.tables import write_table

STREAM: dict[str, Any] = {"modality": {"type": "features"}, "encoder": {"type": "mlp", "width": 8, "layers": 1}}
CONFIG: dict[str, Any] = {
    "streams": {"a": STREAM, "b": STREAM},
    "fusion": {"type": "gated", "width": 12},
    "heads": {"y": {"type": "classification", "target": "y"}},
    "training": {"epochs": 2, "learning_rate": 0.05, "threads": 1},
}


def sample(number: int) -> dict[str, Any]:
    """`a` tells y, `b` tells nothing; a tenth of the rows has one of them only."""
    draw = random.Random(number)
    told = draw.random() < 0.5
    row = {
        "id": str(number),
        "a": [told + draw.gauss(0, 0.2), draw.gauss(0, 1)],
        "b": [draw.gauss(0, 1), draw.gauss(0, 1)],
        "y": "yes" if told else "no",
        "amount": 3.0 * told + draw.gauss(0, 0.1),
        "pair": str(number // 8),
    }
    if draw.random() < 0.1:
        del row[draw.choice("ab")]
    return row


DATA = {name: [sample(start + n) for n in range(120)] for name, start in (("train", 0), ("valid", 200), ("test", 400))}


ALIKE = {**DATA, "test": [{"a": [1.0, 1.0], "b": DATA["test"][0]["b"], "y": "no"}] * 20}


class First(mmsdk.FusionConfig):
    """Somebody's strategy, which works."""

    type: Literal["mine.first"] = "mine.first"

    def build(self, sources: Any) -> Any:
        class Takes(mmsdk.FeatureFusion):
            width, pooled_width = next((source.width, source.pooled_width) for source in sources.values())

            def forward(self, encodings: Any) -> mmsdk.Fused:
                return mmsdk.Fused(next(iter(encodings.values())))

        return Takes()


class Broken(mmsdk.FusionConfig):
    """Somebody's strategy, which fails in the middle of a training."""

    type: Literal["mine.broken"] = "mine.broken"

    def build(self, sources: Any) -> Any:
        import torch

        class Fails(mmsdk.FeatureFusion):
            width = pooled_width = 4

            def forward(self, encodings: Any) -> Any:
                return torch.ones(2, 3) @ torch.ones(2, 3)

        return Fails()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[mmsdk.Comparison, Path]:
    """A tournament of six with two seeds."""
    folder = tmp_path_factory.mktemp("small") / "T"
    names = ["gated", "mean", "decision_mean", "film"]
    return compare(CONFIG, DATA, fusions=names, seeds=2, out=folder, show=False), folder


def test_what_a_tournament_finds(small: tuple[mmsdk.Comparison, Path]) -> None:
    found, _ = small
    places = {each.name: each for each in found.strategies}
    assert set(places) == {"only-a", "only-b", "gated", "mean", "decision_mean", "film"} and not found.left_out
    assert (found.metric, found.split, found.rows, found.units, found.seeds) == ("y/accuracy", "test", 120, 120, 2)
    scores = [each.score for each in found.strategies]
    assert scores == sorted(scores, reverse=True) and found.strategies[0].difference == 0
    assert places["only-b"].told_apart and places["only-b"].score < 0.7 and places["gated"].score > 0.85
    assert places["only-a"].level == "single stream" and places["decision_mean"].level == "decision"
    assert places["gated"].package == "mmsdk" and places["gated"].above_singles is not None
    for each in found.strategies:
        assert each.interval is not None and each.interval[0] <= each.score <= each.interval[1]
        assert each.ms_per_sample > 0 and each.training_bytes > 16 * each.parameters > 0
    assert places["only-a"].parameters < places["mean"].parameters and places["decision_mean"].fusion_parameters == 0
    assert "120 rows of 'test' with 2 seeds" in found.sentence and f"{found.detectable:.4f}" in found.sentence
    assert "best single stream, 'only-a'" in found.sentence


def test_each_run_is_one_that_train_would_have_made(small: tuple[mmsdk.Comparison, Path], tmp_path: Path) -> None:
    found, folder = small
    settings = {**CONFIG, "training": {**CONFIG["training"], "seed": 1}}
    alone = mmsdk.train(settings, DATA, out=tmp_path / "run", show=False)
    run = folder / "gated" / "seed-1"
    noted = json.loads((run / "judged.json").read_text())
    assert noted["figure"] == alone.metrics["test/y/accuracy"] == np.mean(noted["values"])
    assert mmsdk.Pipeline.load(run).config.fusion == mmsdk.load_config(CONFIG).fusion  # the config's own settings
    assert not (run / "checkpoints").exists()
    scores = [json.loads((folder / "gated" / f"seed-{n}" / "judged.json").read_text())["figure"] for n in range(2)]
    (place,) = [each for each in found.strategies if each.name == "gated"]
    assert place.score == pytest.approx(np.mean(scores)) and place.sd == pytest.approx(np.std(scores, ddof=1))


def test_a_single_stream_is_judged_on_rows_without_it(small: tuple[mmsdk.Comparison, Path]) -> None:
    """As one who knows the training samples and nothing else."""
    _, folder = small
    values = json.loads((folder / "only-a" / "seed-0" / "judged.json").read_text())["values"]
    labels = [row["y"] for row in DATA["train"]]
    usual = max(set(labels), key=labels.count)
    without = [(row, value) for row, value in zip(DATA["test"], values, strict=True) if "a" not in row]
    assert without and all(value == (row["y"] == usual) for row, value in without)


def test_what_is_written(small: tuple[mmsdk.Comparison, Path]) -> None:
    found, folder = small
    told = json.loads((folder / "results.json").read_text())
    assert told["sentence"] == found.sentence and [each["name"] for each in told["strategies"]] == [
        each.name for each in found.strategies
    ]
    with (folder / "results.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [float(line["score"]) for line in lines] == [each.score for each in found.strategies]
    assert float(lines[0]["low"]) <= float(lines[0]["score"]) <= float(lines[0]["high"])
    page = (folder / "table.md").read_text()
    assert page.count("\n| ") == 8 and found.sentence in page and "only-b | single stream" in page


def test_what_was_trained_is_not_trained_again(small: tuple[mmsdk.Comparison, Path], monkeypatch: Any) -> None:
    found, folder = small
    trained = []

    def train(config: mmsdk.PipelineConfig, *arguments: Any, **options: Any) -> mmsdk.Trained:
        trained.append(Path(options["out"]).relative_to(folder).as_posix())
        return mmsdk.train(config, *arguments, **options)

    monkeypatch.setattr("mmsdk.comparison.runs.train", train)
    names = ["gated", "mean", "decision_mean", "film"]
    again = compare(CONFIG, DATA, fusions=names, seeds=2, out=folder, show=False)
    assert not trained and again.sentence == found.sentence
    fewer = compare(CONFIG, DATA, fusions=["gated"], seeds=1, out=folder, show=False)
    assert not trained and [each.sd for each in fewer.strategies] == [None] * 3
    assert any("One seed does not tell" in note for note in fewer.notes)
    more = compare(CONFIG, DATA, fusions=["gated", "max"], seeds=1, out=folder, show=False)
    assert trained == ["max/seed-0"] and len(more.strategies) == 4
    loss = compare(CONFIG, DATA, fusions=["gated"], seeds=2, out=folder, metric="y/log_loss", show=False)
    assert not loss.larger_is_better and loss.strategies[0].score < loss.strategies[-1].score
    assert loss.strategies[-1].difference > 0 and loss.strategies[-1].name == "only-b"
    assert loss.strategies[0].interval is not None and loss.strategies[0].interval[0] < loss.strategies[0].interval[1]
    worse = compare(CONFIG, DATA, fusions=["gated"], seeds=2, out=folder, damage="a/noise/3", show=False)
    assert "under a: noise 3 sd with 2 seeds" in worse.sentence and worse.damage == ["a: noise 3 sd"]
    known = {each.name: each.score for each in found.strategies}
    scores = {each.name: each.score for each in worse.strategies}
    assert scores["only-b"] == known["only-b"] and scores["only-a"] < known["only-a"] - 0.1
    measured = mmsdk.evaluate_corruptions(folder / "gated/seed-0", {"test": DATA["test"]})
    figure = json.loads((folder / "gated/seed-0/judged.json").read_text())["figure"]
    assert [own["test/y/accuracy"] for each, own in measured.items() if str(each) == "a: noise 3 sd"] == [figure]
    f1 = compare(CONFIG, DATA, fusions=["gated"], seeds=2, out=folder, metric="y/macro_f1", show=False)
    assert f1.units == 0 and any("'macro_f1' is no mean over rows" in note for note in f1.notes)
    one = compare(CONFIG, DATA, fusions=["gated"], seeds=1, out=folder, metric="y/macro_f1", show=False)
    assert one.detectable is None and "take more seeds" in one.sentence and one.strategies[0].p is None
    assert trained == ["max/seed-0"]  # judged anew from what was saved


def test_a_folder_of_another_tournament_is_refused(small: tuple[mmsdk.Comparison, Path], tmp_path: Path) -> None:
    _, folder = small
    (longer := dict(CONFIG))["training"] = {**CONFIG["training"], "epochs": 3}
    with pytest.raises(CheckpointError, match=r"began with another config; different: training\.epochs"):
        compare(longer, DATA, fusions=["gated"], out=folder, show=False)
    with pytest.raises(CheckpointError, match="the data has changed since this tournament began"):
        compare(CONFIG, {**DATA, "train": DATA["train"][1:]}, fusions=["gated"], out=folder, show=False)
    with pytest.raises(CheckpointError, match=r"gated/seed-0: began with another config; different: fusion\.dropout"):
        # settings that a run was trained with cannot change under it
        (folder / "changed").mkdir()
        settings = json.loads((folder / "gated/seed-0/config.json").read_text())
        settings["config"]["fusion"]["dropout"] = 0.4
        (folder / "gated/seed-0/config.json").write_text(json.dumps(settings))
        compare(CONFIG, DATA, fusions=["gated"], seeds=1, out=folder, show=False)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("")
    with pytest.raises(ConfigError, match="holds something else than a tournament: choose another --out"):
        compare(CONFIG, DATA, fusions=["gated"], out=tmp_path / "full", show=False)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "tournament.json").write_text("{")
    with pytest.raises(CheckpointError, match="damaged"):
        compare(CONFIG, DATA, fusions=["gated"], out=tmp_path / "damaged", show=False)


def test_anybody_takes_part_and_nobody_ends_it(fresh_registry: Registry, tmp_path: Path, capsys: Any) -> None:
    mmsdk.register(First)
    mmsdk.register(Broken)
    names = ["mine.first", "mine.broken", "tensor", "fusion.aligned", "decision_stacking"]
    data = {"train": DATA["train"], "test": DATA["test"]}
    also = {"wide": {"type": "gated", "width": 32}, "steps": {"type": "fusion.aligned", "of": {"type": "mean"}}}
    settings = {**CONFIG, "max_fusion_parameters": 4000}
    found = compare(settings, data, fusions=names, also=also, seeds=1, out=tmp_path / "T")
    places = {each.name: each for each in found.strategies}
    assert set(places) == {"only-a", "only-b", "mine.first", "wide", "steps"}
    assert places["mine.first"].package == "this process" and places["steps"].package == "mmsdk-fusion"
    assert mmsdk.Pipeline.load(tmp_path / "T/wide/seed-0").config.fusion.width == 32  # type: ignore[union-attr]
    reasons = {each.name: each.reason for each in found.left_out}
    assert set(reasons) == {"mine.broken", "tensor", "fusion.aligned", "decision_stacking"}
    assert "the limit is 4,000" in reasons["tensor"] and "needs 'of'" in reasons["fusion.aligned"]
    assert "seed 0: " in reasons["mine.broken"] and "cannot be multiplied" in reasons["mine.broken"]
    assert "learns from the split 'valid'" in reasons["decision_stacking"]
    told = capsys.readouterr().err
    assert "run 1 of 7, only-a, seed 0\n" in told and "test/y/accuracy" in told and "to go, about" in told
    assert "left out: mine.broken" in told


def test_all_that_is_installed(fresh_registry: Registry) -> None:
    mmsdk.register(First)
    found, left_out = contestants(mmsdk.load_config(CONFIG), "y", ["all"], {})
    names = {each.name for each in found}
    assert names | {each.name for each in left_out} >= {*fresh_registry.all("fusion"), "only-a", "only-b"}
    assert {each.level for each in found} == {"feature", "decision", "single stream"}
    assert (
        len(names) > 40 and "mine.first" in names and [each.name for each in left_out] == ["fusion.aligned", "imputed"]
    )


def test_a_plugin_that_does_not_load_is_told(fresh_registry: Registry) -> None:
    (plugin,) = [each for each in fresh_registry.plugins if each.prefix == "fusion"]
    plugin.state, plugin.reason = "failed", "plugin 'fusion' is installed but failed to load: no luck"
    _, left_out = contestants(mmsdk.load_config(CONFIG), "y", ["all"], {})
    assert ("mmsdk-fusion", plugin.reason) in left_out


def test_what_speaks_of_other_parts_goes_with_them() -> None:
    settings: dict[str, Any] = {
        "streams": {"a": STREAM, "b": STREAM, "again": {"shared_with": "a", "column": "a"}},
        "fusion": {"type": "transformer", "width": 8, "heads": 2},
        "heads": {
            "y": {"type": "classification", "target": "y", "reads": ["a", "b"], "decision": {"type": "decision_max"}},
            "amount": {"type": "regression", "target": "amount"},
        },
        "init_from": {"run": "somewhere", "parts": ["streams.a", "fusion", "heads.y"]},
        "stages": [
            {
                "name": "one",
                "heads": {"y": 2.0, "amount": 1.0},
                "freeze": ["streams.a.encoder", "fusion"],
                "learning_rates": {"fusion": 0.1, "heads.amount": 0.1, "heads.y": 0.2},
                "layer_decay": {"b": 0.5},
            }
        ],
        "training": {"group": "b", "activation_checkpointing": ["a"], "select_by": "amount/mae"},
    }
    config = mmsdk.load_config(settings)
    found = {each.name: each.config for each in contestants(config, "y", ["concat", "decision_max"], {})[0]}
    fused, rule, alone, again = found["concat"], found["decision_max"], found["only-b"], found["only-again"]
    assert list(fused.heads) == ["y"] and fused.heads["y"].reads == ["fused"] and fused.heads["y"].decision is None
    assert fused.stages[0].freeze == ["streams.a.encoder", "fusion"] and fused.training.select_by is None
    assert fused.stages[0].learning_rates == {"fusion": 0.1, "heads.y": 0.2} and fused.stages[0].heads == {"y": 2.0}
    assert fused.init_from is not None and fused.init_from.parts == ["streams.a"]
    assert rule.fusion is None and rule.heads["y"].reads == ["a", "b", "again"]
    assert rule.stages[0].freeze == ["streams.a.encoder"] and rule.stages[0].learning_rates == {"heads.y": 0.2}
    assert list(alone.streams) == ["b"] and alone.training.group == "b" and alone.init_from is None
    assert alone.training.activation_checkpointing == [] and alone.stages[0].layer_decay == {"b": 0.5}
    assert again.streams["again"].modality == config.streams["a"].modality and again.column_of("again") == "a"
    assert again.training.group is None and again.stages[0].freeze == []
    settings["stages"].insert(0, {"name": "before", "heads": {"amount": 1.0}})
    with pytest.raises(ConfigError, match=r"Stage 'before' trains 'amount', not 'y': train it once by itself"):
        contestants(mmsdk.load_config(settings), "y", ["concat"], {})


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"seeds": 0}, ConfigError, "seeds: at least 1 is needed, found 0"),
        ({"fusions": "gatd"}, ConfigError, "Unknown fusion 'gatd'. Did you mean 'gated'?"),
        ({"fusions": ["fusion.mutant"]}, ConfigError, "Unknown fusion 'fusion.mutant'. Did you mean 'fusion.mutan'?"),
        ({"fusions": ["nowhere.zzz"]}, UnknownComponentError, "no installed plugin has the prefix 'nowhere'"),
        ({"fusions": ["cnn"]}, UnknownComponentError, "fusion 'cnn' cannot be used: it is a encoder"),
        ({"fusions": [""]}, ConfigError, "Name at least one fusion, or 'all'"),
        ({"fusions": ["all", "mean"]}, ConfigError, "'all' stands alone"),
        ({"also": {"mine": "gated"}}, ConfigError, "Contestant 'mine' needs settings such as {type: gated"),
        ({"also": {"gated": {"type": "gated"}}}, ConfigError, "Contestant 'gated' cannot be called that: there is one"),
        ({"also": {"a/b": {"type": "gated"}}}, ConfigError, "Contestant 'a/b' cannot be called that: a name is"),
        ({"also": {"x": {"type": "gated", "widht": 3}}}, ConfigError, "contestant 'x': widht: Unknown key 'widht'."),
        ({"also": {"x": {"type": "gated", "width": 0}}}, ConfigError, "contestant 'x': width: should be greater"),
        ({"also": {"x": {"type": "gate"}}}, ConfigError, "Unknown fusion 'gate'. Did you mean 'gated'?"),
        ({"fusions": ["fusion.aligned"]}, ConfigError, "No fusion can work with this config:\n  fusion.aligned: needs"),
        ({"head": "z"}, ConfigError, "There is no head 'z'. There is: 'y'"),
        ({"metric": "y/accurracy"}, ConfigError, "Head 'y' has no metric 'accurracy' to compare by. Did you mean"),
        ({"metric": "z/accuracy"}, ConfigError, "There is no head 'z'"),
        ({"metric": "z/accuracy", "head": "y"}, ConfigError, "metric 'z/accuracy' is not of head 'y'"),
        ({"damage": "a/nois/1"}, ConfigError, "There is no damage 'a/nois/1': write STREAM/CORRUPTION/SEVERITY"),
        ({"damage": "a/noise/much"}, ConfigError, "the severity should be a number, found 'much'"),
        ({"damage": "a/noise/nan"}, ConfigError, "the severity should be a number, found 'nan'"),
        ({"damage": ["a/noise/1", "a/lost/1"]}, ConfigError, "one for each stream"),
        ({"together": "pairs"}, DataError, "in column 'pairs', to keep rows together by. Did you mean 'pair'?"),
        ({"split": "dev"}, DataError, "There is no split 'dev'. There is: 'train', 'valid', 'test'"),
        ({"data": {"train": DATA["train"]}}, DataError, "nothing to judge on beside 'train': hold rows out"),
        ({"data": {**DATA, "test": DATA["test"][:9]}}, DataError, "Split 'test' has 9 rows with a stream and the"),
        ({"data": {"train": DATA["train"], "x": DATA["test"], "z": DATA["test"]}}, DataError, "with --split. There is"),
        ({"overrides": ["training.group=b"], "data": ALIKE}, DataError, "has 1 different values of 'b'"),
    ],
)  # fmt: skip
def test_mistakes_are_told_before_anything_is_trained(
    options: dict[str, Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error) as told:
        compare(CONFIG, **{"data": DATA, "fusions": ["gated"], "out": tmp_path / "T", "show": False} | options)
    assert message in str(told.value)
    assert not list(tmp_path.glob("T/*/seed-*"))


def test_one_stream_and_heads_that_nothing_can_fuse(tmp_path: Path, monkeypatch: Any) -> None:
    one = {**CONFIG, "streams": {"a": STREAM}, "fusion": None, "heads": {"y": {**CONFIG["heads"]["y"], "reads": ["a"]}}}
    with pytest.raises(ConfigError, match="There is nothing to fuse: the config has one stream, 'a'"):
        compare(one, DATA, out=tmp_path / "T")
    two = {**CONFIG, "heads": {**CONFIG["heads"], "amount": {"type": "regression", "target": "amount"}}}
    with pytest.raises(ConfigError, match=r"Name the head to compare by, with --head. There is: 'y', 'amount'"):
        compare(two, DATA, out=tmp_path / "T")
    near = {**CONFIG, "heads": {"near": {"type": "contrastive", "reads": ["a", "b"], "width": 4}}}
    with pytest.raises(ConfigError, match=r"No fusion can work with this config:(.|\n)*reads at least two sources"):
        compare(near, DATA, head="near", out=tmp_path / "T")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="runs in one process"):
        compare(CONFIG, DATA, out=tmp_path / "T")


def test_which_split_is_judged() -> None:
    def task(data: dict[str, Any], split: str | None = None, column: str | None = None, **training: Any) -> Task:
        config = mmsdk.load_config({**CONFIG, "training": {**CONFIG["training"], **training}})
        return task_of(config, contestants(config, "y", ["mean"], {})[0], data, "y", None, split, (), column)

    train, held = DATA["train"], DATA["test"]
    assert task(DATA).split == "test" and not task(DATA).notes
    only = task({"train": train, "valid": held})
    assert only.split == "valid" and "'valid' chose the epochs, too" in only.notes[0]
    assert not task(DATA, "valid", keep="last").notes
    assert task({"train": train, "valid": held, "held": held}).split == "held"
    assert "'train' was trained on" in task(DATA, "train").notes[0]
    assert len(set(task(DATA, column="pair").groups)) == 15
    bare = [{"id": "bare", "y": "no"}, {"id": "unknown", "a": [1.0, 1.0]}]
    assert len(task({**DATA, "test": held + bare}).rows) == len(held)  # nothing to judge by


def test_numbers_groups_and_heads_beside(tmp_path: Path) -> None:
    settings = {
        **CONFIG,
        "streams": {
            **CONFIG["streams"],
            "pair": {"modality": {"type": "text"}, "encoder": {"type": "bag", "width": 4}},
        },
        "heads": {**CONFIG["heads"], "amount": {"type": "regression", "target": "amount"}},
        "training": {**CONFIG["training"], "group": "pair"},
    }
    found = compare(settings, DATA, fusions=["concat"], seeds=2, metric="amount/mae", out=tmp_path / "T", show=False)
    assert (found.metric, found.larger_is_better, found.units) == ("amount/mae", False, 15)
    assert "120 rows in 15 groups" in found.sentence and "rows with the same 'pair'" in " ".join(found.notes).lower()
    assert any("trained for 'amount' alone, without 'y'" in note for note in found.notes)
    places = {each.name: each for each in found.strategies}
    assert places["only-a"].score < places["only-b"].score and "only-pair" in places
    values = json.loads((tmp_path / "T/only-a/seed-0/judged.json").read_text())["values"]
    mean = np.mean([row["amount"] for row in DATA["train"]])
    for row, value in zip(DATA["test"], values, strict=True):
        if "a" not in row:
            assert value == pytest.approx(abs(row["amount"] - mean), abs=1e-4)


def test_a_figure_is_by_row_only_where_it_is_the_mean_of_the_rows() -> None:
    nan = float("nan")
    assert Judged(0.5, [1.0, 0.0, nan]).by_row and not Judged(0.6, [1.0, 0.0]).by_row and not Judged(0.5, [nan]).by_row


def test_rows_that_cannot_be_read_are_left_out_for_all(tmp_path: Path) -> None:
    data = {**DATA, "test": [{**row, "b": [1.0]} if n < 5 else row for n, row in enumerate(DATA["test"])]}
    settings = {**CONFIG, "training": {**CONFIG["training"], "on_error": "skip"}}
    found = compare(settings, data, fusions=["mean"], seeds=1, out=tmp_path / "T", show=False)
    assert found.rows == 115 and "5 rows are left out, which some contestants could not read." in found.notes
    pipeline = mmsdk.Pipeline.load(tmp_path / "T/mean/seed-0")
    rows = [mmsdk.Row(str(n), row) for n, row in enumerate(data["test"])]
    assert np.isnan(judge(pipeline, "y", "accuracy", rows, []).values).sum() == 5


def test_costs_are_counted(small: tuple[mmsdk.Comparison, Path]) -> None:
    found, folder = small
    rows = [mmsdk.Row(str(n), row) for n, row in enumerate(DATA["train"])]
    run = folder / "mean/seed-0"
    config = mmsdk.Pipeline.load(run).config
    sizes = []
    for size in (20, 40, 80):
        training = config.training.model_copy(update={"batch_size": size, "accumulation": 2})
        (cost,) = costs({run: config.model_copy(update={"training": training})}, "y", rows).values()
        sizes.append(cost.training_bytes - 16 * cost.parameters)  # weights, gradients, two moments, in float32
    assert sizes[0] > 10 * 2 * 8 * 4  # ten rows, two encoders 8 wide, float32
    assert 1.8 < (sizes[2] - sizes[1]) / (sizes[1] - sizes[0]) < 2.2
    (place,) = [each for each in found.strategies if each.name == "mean"]
    pipeline = mmsdk.Pipeline.load(run)
    assert cost.parameters == place.parameters == sum(each.numel() for each in pipeline.parameters())
    assert pipeline.fusion is not None
    assert place.fusion_parameters == sum(each.numel() for each in pipeline.fusion.parameters())
    frozen = mmsdk.PipelineConfig.model_validate(
        {**config.model_dump(), "stages": [{"name": "train", "freeze": ["streams"]}]}
    )
    (less,) = costs({run: frozen}, "y", rows).values()
    assert less.training_bytes < place.training_bytes


def test_the_sentence_says_what_the_figures_say(small: tuple[mmsdk.Comparison, Path]) -> None:
    found, _ = small
    fusion = next(each for each in found.strategies if each.name == "gated")
    single = next(each for each in found.strategies if each.name == "only-a")
    alike = [fusion._replace(name=f"f{n}", told_apart=False, above_singles=0.01, score=0.9) for n in range(12)]
    worse = single._replace(told_apart=True, score=0.5)
    told = sentence(found._replace(strategies=[*alike, worse]))
    assert "11 of the other 12 cannot be told from it, those with a *." in told
    assert "12 fusions can be told to be better than the best single stream, 'only-a' (0.5000), those with a +." in told
    told = sentence(found._replace(strategies=[alike[0], worse], units=30))
    assert "120 rows in 30 groups" in told and "It is told from each of the other 1." in told
    assert "1 fusion can be told to be better" in told and told.endswith(": 'f0'.")
    assert sentence(found._replace(strategies=alike)).endswith("No single stream took part.")
    lines = as_markdown(found._replace(strategies=[*alike, worse])).splitlines()
    assert lines[4].startswith("| \\*+ f0 |") and lines[16].startswith("| only-a |")


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with a table and a config."""
    rows = [{**row, "split": name} for name, own in DATA.items() for row in own]
    write_table(tmp_path / "rows.jsonl", rows)
    settings = {**CONFIG, "data": {"path": "rows.jsonl", "split_column": "split"}}
    (tmp_path / "pipeline.yaml").write_text(json.dumps(settings))
    return tmp_path


def test_the_command_line(desk: Path, cli: Callable[..., Any], monkeypatch: Any) -> None:
    monkeypatch.chdir(desk)
    (desk / "more.yaml").write_text("wide: {type: gated, width: 20}\n")
    given = ("compare", "pipeline.yaml", "--fusion", "mean, decision_mean", "--also", "more.yaml", "--seeds", 2)
    told = cli(*given, "--set", "training.epochs=1", "--csv", "mine.csv")
    assert told.exit_code == 0, told.output
    assert "run 10 of 10, wide, seed 1 (1 to go" in told.stderr and "only-a" in told.stdout
    assert "*: cannot be told from the best" in told.stdout and "came first" in told.stdout
    assert (desk / "mine.csv").read_text() == (desk / "runs/pipeline-compare/results.csv").read_text()
    started = time.monotonic()
    plain = cli(*given, "--set", "training.epochs=1", "--json")
    result = json.loads(plain.stdout)
    assert time.monotonic() - started < 5 and "run " not in plain.stderr
    assert result.keys() >= {"metric", "split", "rows", "seeds", "strategies", "left_out", "sentence"}
    assert len(result["strategies"]) == 5 and result["strategies"][0].keys() >= {
        "name", "level", "package", "score", "sd", "interval", "difference", "p", "told_apart", "parameters",
        "ms_per_sample",
    }  # fmt: skip
    assert mmsdk.Pipeline.load(desk / "runs/pipeline-compare/mean/seed-1").config.training.epochs == 1
    refused = cli(*given, "--json")
    assert refused.exit_code == 1 and "different: training.epochs" in json.loads(refused.stdout)["error"]
    for options, message in {
        ("--seeds", "0"): "at least 1 is needed",
        ("--fusion", ""): "Name at least one fusion",
        ("--also", "none.yaml"): "none.yaml: there is no such file",
        ("--set", "fusion.width=no"): "fusion.width",
    }.items():
        refused = cli("compare", "pipeline.yaml", "--out", "other", *options)
        assert refused.exit_code == 1 and message in refused.stderr, refused.stderr
    nowhere = cli(*given, "--set", "training.epochs=1", "--csv", "none/mine.csv")
    assert nowhere.exit_code == 1 and "none/mine.csv: cannot be written" in nowhere.stderr


def test_ctrl_c_says_how_to_go_on(desk: Path, cli: Callable[..., Any], monkeypatch: Any) -> None:
    def stopped(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mmsdk.comparison.runs.train", stopped)
    told = cli("compare", desk / "pipeline.yaml", "--fusion", "mean", "--out", desk / "T")
    assert told.exit_code == 130 and "The same command goes on with this tournament." in told.stderr


@pytest.fixture
def started(desk: Path) -> Iterator[subprocess.Popen[str]]:
    """The command in a process of its own."""
    command = [sys.executable, "-m", "mmsdk", "compare", "pipeline.yaml", "--fusion", "mean", "--seeds", "2"]
    process = subprocess.Popen(command, cwd=desk, stderr=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.wait()
    assert process.stderr is not None
    process.stderr.close()


def test_a_tournament_that_was_killed_goes_on(desk: Path, started: subprocess.Popen[str], monkeypatch: Any) -> None:
    assert started.stderr is not None
    for line in started.stderr:
        if line.startswith("run 4 of 6"):
            break
    started.send_signal(signal.SIGKILL)
    started.wait()
    folder = desk / "runs/pipeline-compare"
    done = {path: path.stat().st_mtime_ns for path in folder.glob("*/seed-*/judged.json")}
    assert 3 <= len(done) <= 5 and not (folder / "results.json").exists()
    whole = compare(desk / "pipeline.yaml", fusions=["mean"], seeds=2, out=desk / "whole", show=False)
    again = compare(desk / "pipeline.yaml", fusions=["mean"], seeds=2, out=folder, show=False)
    assert all(path.stat().st_mtime_ns == then for path, then in done.items())
    assert again.sentence == whole.sentence
    assert [each[3:10] for each in again.strategies] == [each[3:10] for each in whole.strategies]


def test_balance_is_for_what_is_fused() -> None:
    settings = {**CONFIG, "heads": {"y": {**CONFIG["heads"]["y"], "auxiliary": 0.3}}}
    settings["training"] = {**CONFIG["training"], "balance": "ogm_ge", "modality_dropout": {"a": 0.2}}
    config = mmsdk.load_config(settings)
    found, left_out = contestants(config, "y", ["mean", "decision_mean"], {})
    own = {each.name: each.config for each in found}
    assert not left_out and set(own) == {"only-a", "only-b", "mean", "decision_mean"}
    assert set(own["mean"].heads) == {"y", "y_a", "y_b"} and own["mean"].training.balance is not None
    assert list(own["decision_mean"].heads) == ["y"] and own["decision_mean"].training.balance is None
    assert list(own["only-a"].training.modality_dropout) == ["a"] and not own["only-b"].training.modality_dropout
    with pytest.raises(ConfigError, match="There is no head 'y_a'"):
        compare(config, DATA, head="y_a")
