"""A run that was stopped, wherever that was, comes to the very same end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import mmsdk
from mmsdk.config.training import TrainingConfig
from mmsdk.errors import CheckpointError, ConfigError
from mmsdk.training import loop as training
from mmsdk.training.accelerating import Processes
from mmsdk.training.checkpoint import Checkpoints
from mmsdk.training.journal import Journal
from mmsdk.training.stage import Stage
from tests.programs import killing, made_up

ROWS = {"train": made_up.samples(21), "valid": made_up.samples(6, seed=1)}
STEPS = 12
"""Of two stages with two epochs of three steps; the last batch is not full."""


class Stopped(Exception):
    """Stands for the end of the process."""


@pytest.fixture(autouse=True)
def no_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than these trainings."""
    monkeypatch.setattr(training, "draw_curve", lambda entries, path: False)


def config(**more: Any) -> made_up.Config:
    """With dropout and augmentation."""
    stages = [{"name": "align", "heads": {"match": 1.0}}, {"name": "tell", "learning_rates": {"fusion": 0.01}}]
    return made_up.pipeline(lively=True, epochs=2, **more) | {"stages": stages}


def train(folder: Path, given: made_up.Config, resume: bool = False) -> mmsdk.Trained:
    return mmsdk.train(given, ROWS, out=folder, resume=resume, show=False)


def outcome(folder: Path) -> tuple[Any, ...]:
    """What has to be the same, bit for bit."""
    return killing.weights(folder), killing.metrics(folder), killing.entries(folder)


def stop(patch: pytest.MonkeyPatch, *totals: int) -> None:
    """Have training end after these steps, before they are logged and saved."""
    step = Journal.step

    def stopping(journal: Journal, *arguments: Any) -> None:
        if journal.job.position.total in totals:
            raise Stopped
        step(journal, *arguments)

    patch.setattr(Journal, "step", stopping)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ...]:
    """The end of a run that nobody stops."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "draw_curve", lambda entries, path: False)
        train(folder := tmp_path_factory.mktemp("whole"), config())
    return outcome(folder)


def test_the_run_is_lively(whole: tuple[Any, ...], tmp_path: Path) -> None:
    """Otherwise much of this would hold by itself."""
    steps = [entry["total"] for entry in whole[2] if entry["event"] == "step"]
    assert steps == list(range(1, STEPS + 1))
    train(tmp_path, config() | {"streams": made_up.STREAMS})
    assert outcome(tmp_path)[2][0]["losses"] != whole[2][0]["losses"]


@pytest.mark.faults("F4")
@pytest.mark.parametrize("every", [1, 2, None])
def test_a_run_that_is_stopped_again_and_again(
    whole: tuple[Any, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int | None
) -> None:
    """After each step, which is several times in an epoch, and at the borders of epochs and stages."""
    given = config(checkpoint={"every": every})
    for total in range(1, STEPS + 1):
        with monkeypatch.context() as patch, pytest.raises(Stopped):
            stop(patch, total)
            train(tmp_path, given, resume=True)
    train(tmp_path, given, resume=True)
    assert outcome(tmp_path) == whole


@pytest.mark.faults("F4")
@pytest.mark.parametrize("total", range(1, STEPS + 1))
def test_a_run_that_is_stopped_once(
    whole: tuple[Any, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, total: int
) -> None:
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        stop(patch, total)
        train(tmp_path, config(checkpoint={"every": 1}))
    train(tmp_path, config(), resume=True)
    assert outcome(tmp_path) == whole


def test_a_run_that_is_stopped_before_it_is_finished(
    whole: tuple[Any, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All steps are done; what is missing are the figures, the saved pipeline, or only the list of the figures."""
    for place in ("figures.final_metrics", "draw_curve"):
        with monkeypatch.context() as patch, pytest.raises(Stopped):
            patch.setattr(f"mmsdk.training.loop.{place}", stopped)
            train(tmp_path, config(), resume=True)
    train(tmp_path, config(), resume=True)
    assert outcome(tmp_path) == whole


def stopped(*_: object) -> None:
    raise Stopped


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than this machine has cores
@pytest.mark.faults("F4")
@pytest.mark.parametrize("group", [None, "text"])
def test_workers_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: str | None) -> None:
    """Nor do workers that come or go in the middle of a run."""
    train(tmp_path / "0", config(group=group))
    train(tmp_path / "2", config(group=group, workers=2))
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        stop(patch, 8)
        train(tmp_path / "both", config(group=group, workers=2, checkpoint={"every": 1}))
    train(tmp_path / "both", config(group=group), resume=True)
    assert outcome(tmp_path / "0") == outcome(tmp_path / "2") == outcome(tmp_path / "both")


def test_groups_change_the_order(whole: tuple[Any, ...], tmp_path: Path) -> None:
    train(tmp_path, config(group="text"))
    assert outcome(tmp_path)[2] != whole[2]


@pytest.mark.faults("F4")
def test_accumulation_can_be_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = config(accumulation=3, checkpoint={"every": 1})
    train(tmp_path / "whole", given)
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        stop(patch, 5)
        train(tmp_path / "stopped", given)
    train(tmp_path / "stopped", given, resume=True)
    assert outcome(tmp_path / "stopped") == outcome(tmp_path / "whole")


@pytest.mark.faults("F4")
@pytest.mark.parametrize("job", ["slowed", "blended"])
def test_balance_can_be_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job: str) -> None:
    """Stopped in the middle of an epoch, and right before an epoch ends after which weights change."""
    given, rows = made_up.JOBS[job]()
    given["training"]["checkpoint"] = {"every": 1}
    mmsdk.train(given, rows, out=tmp_path / "whole", show=False)
    for total in (2, 11, 12, 18):
        with monkeypatch.context() as patch, pytest.raises(Stopped):
            stop(patch, total)
            mmsdk.train(given, rows, out=tmp_path / "stopped", resume=True, show=False)
    mmsdk.train(given, rows, out=tmp_path / "stopped", resume=True, show=False)
    told = {key for entry in outcome(tmp_path / "whole")[2] for key in entry}
    assert {"slowed": "coefficients", "blended": "weights"}[job] in told
    assert outcome(tmp_path / "stopped") == outcome(tmp_path / "whole")


def test_the_scale_of_float16_gradients_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It grows every third step: from 2 to 32 in twelve."""
    begin = Processes.__init__

    def scaling(made: Processes, given: TrainingConfig) -> None:
        begin(made, given)
        made.accelerator.scaler = made.scaler = torch.amp.GradScaler("cpu", init_scale=2.0, growth_interval=3)

    monkeypatch.setattr(Processes, "__init__", scaling)
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        stop(patch, 8)
        train(tmp_path, config(checkpoint={"every": 1}))
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=2)
    assert checkpoints.position(checkpoints.path(7)).scaler["_growth_tracker"] == 1
    train(tmp_path, config(), resume=True)
    assert checkpoints.position(checkpoints.path(STEPS)).scaler["scale"] == 2.0 * 2**4


# What is refused


@pytest.fixture
def unfinished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that was stopped after its first epoch."""
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        stop(patch, 5)
        train(tmp_path / "run", config())
    return tmp_path / "run"


def test_another_config_is_refused_by_the_names_of_its_keys(unfinished: Path) -> None:
    other = config(learning_rate=0.5, seed=1)
    other["streams"] = {**other["streams"], "text": made_up.STREAMS["text"]}
    with pytest.raises(CheckpointError) as raised:
        train(unfinished, other, resume=True)
    keys = ["streams.text.encoder.dropout", "streams.text.modality.word_dropout"]
    assert f"different: {', '.join([*keys, 'training.learning_rate', 'training.seed'])}." in str(raised.value)


def test_what_changes_no_result_may_change(unfinished: Path, whole: tuple[Any, ...]) -> None:
    given = config(threads=1, log_every=1, checkpoint={"every": 1, "keep": 3})
    train(unfinished, given, resume=True)
    assert outcome(unfinished) == whole


def test_other_data_are_refused(unfinished: Path) -> None:
    rows = {**ROWS, "train": [*ROWS["train"][:-1], {**ROWS["train"][-1], "numbers": [0.0] * 5}]}
    with pytest.raises(CheckpointError, match="the data has changed"):
        mmsdk.train(config(), rows, out=unfinished, resume=True, show=False)


def test_a_run_is_not_begun_twice(unfinished: Path, whole: tuple[Any, ...]) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in unfinished.rglob("*"))
    with pytest.raises(ConfigError, match=r"holds a run already: add --resume"):
        train(unfinished, config())
    assert sorted((path, path.stat().st_mtime_ns) for path in unfinished.rglob("*")) == before


def test_a_run_that_never_came_to_a_checkpoint_can_be_begun_anew(tmp_path: Path) -> None:
    """A mistake that only showed when training began must not block the folder."""
    with pytest.raises(ConfigError, match="There is no metric 'colour/acuracy'"):
        train(tmp_path, config(select_by="colour/acuracy"))
    train(tmp_path, config())
    assert json.loads((tmp_path / "config.json").read_text())["config"]["training"]["select_by"] is None


def test_a_finished_run_gives_its_figures_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = train(tmp_path, config())
    monkeypatch.setattr(Stage, "run", stopped)
    again = train(tmp_path, config(), resume=True)
    assert again._replace(pipeline=first.pipeline) == first
    assert first.metrics and again.pipeline.predict({"text": "red"})[0].error is None
    with pytest.raises(ConfigError, match="holds a run already"):
        train(tmp_path, config())
    with pytest.raises(CheckpointError, match=r"training.epochs"):
        train(tmp_path, config() | {"training": config()["training"] | {"epochs": 3}}, resume=True)


def test_resuming_where_nothing_is_begins(tmp_path: Path, whole: tuple[Any, ...]) -> None:
    train(tmp_path / "new", config(), resume=True)
    assert outcome(tmp_path / "new") == whole


def test_another_number_of_processes_is_told(unfinished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = json.loads((unfinished / "config.json").read_text())
    (unfinished / "config.json").write_text(json.dumps({**facts, "processes": 2}))
    train(unfinished, config(), resume=True)
    assert "began with 2 processes, goes on with 1" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "[]", '{"model_type": "bert"}'])
def test_a_config_that_is_not_of_a_run(unfinished: Path, content: str) -> None:
    (unfinished / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"config.json: (not of a run, or )?damaged"):
        train(unfinished, config(), resume=True)


@pytest.mark.parametrize("stage", [{"freeze": ["fusion.gate"]}, {"learning_rates": {"fusion.gate": 0.1}}])
def test_a_mistake_in_the_last_stage_is_told_before_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: dict[str, Any]
) -> None:
    monkeypatch.setattr(Stage, "run", stopped)
    given = config()
    given["stages"][1] |= stage
    with pytest.raises(ConfigError, match=r"There is no part 'fusion.gate'"):
        train(tmp_path, given)


def test_damaged_modalities_are_not_used(unfinished: Path) -> None:
    path = unfinished / "modalities" / "modalities.json"
    path.write_text(path.read_text().replace("red", "rad"))
    with pytest.raises(CheckpointError, match=r"modalities.json: damaged"):
        train(unfinished, config(), resume=True)


# Kills


def killed(folder: Path, processes: int, kills: int, seed: int) -> dict[str, Any]:
    """See `killing`. Warnings are errors there, too."""
    command = [sys.executable, "-W", "error", "-m", killing.__name__, "enduring", str(folder)]
    command += ["--processes", str(processes), "--kills", str(kills), "--seed", str(seed)]
    home = Path(__file__).parents[1]
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def require_exact(found: dict[str, Any]) -> None:
    assert found["unusable"] == 0
    assert found["most_steps_lost"] <= 1
    assert found["same_weights"] and found["same_metrics"] and found["same_log"]


@pytest.mark.slow
def test_a_run_that_is_killed_six_times(tmp_path: Path) -> None:
    found = killed(tmp_path, processes=1, kills=6, seed=0)
    assert found["kills"] >= 5
    require_exact(found)
