"""A run's files, and what a training does with bad samples, bad losses, and its best epoch."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import mmsdk
from mmsdk.containers import Encoding, HeadOutput, Inputs, Step
from mmsdk.errors import CheckpointError, ConfigError, DataError, DecodeError, TrainingError
from mmsdk.formats import Format, Source
from mmsdk.interfaces import TaskHead
from mmsdk.plugins.registry import Registry
from mmsdk.training import figures as figures_of
from mmsdk.training import loop as training
from mmsdk.training.checkpoint import Checkpoints
from mmsdk.training.journal import Journal
from mmsdk.training.run import BadSamples, Run, latest_folder, new_folder, replace
from tests.programs import made_up


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def bad(*samples: str) -> list[DecodeError]:
    return [DecodeError("expected an image", sample=sample, stream="image") for sample in samples]


# Files


def test_a_log_can_be_taken_back(run: Run) -> None:
    assert run.entries() == [] and run.log_bytes() == 0
    run.log(event="step", total=1)
    length = run.log_bytes()
    run.log(event="step", total=2, name="ü\u2028\ud800")
    assert [entry["total"] for entry in run.entries()] == [1, 2]
    run.rewind(length)
    run.log(event="step", total=2)
    assert run.entries() == [{"event": "step", "total": 1}, {"event": "step", "total": 2}]
    run.rewind(0)
    assert run.entries() == []


def test_lines_that_were_cut_short_are_left_out(run: Run) -> None:
    run.log(total=1)
    run.add_bad(bad("one"))
    for name in ("log.jsonl", "bad_samples.jsonl"):
        with (run.folder / name).open("a") as file:
            file.write('{"id": "tw')
    assert run.entries() == [{"total": 1}] and run.bad_ids() == {"one"}
    run.rewind(10**9)
    run.log(total=2)
    run.add_bad(bad("two"))
    assert run.entries() == [{"total": 1}, {"total": 2}] and run.bad_ids() == {"one", "two"}


def test_replacing_a_file_leaves_the_old_or_the_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "folder" / "file.json"
    replace(path, {"a": 1})
    with pytest.raises(TypeError):
        replace(path, {"a": object()})
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", failing)
        with pytest.raises(CheckpointError, match=r"file.json: cannot be written: .*No space left"):
            replace(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1}
    replace(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 2}


def failing(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


def test_names_of_runs(tmp_path: Path) -> None:
    assert new_folder("x", tmp_path) == latest_folder("x", tmp_path) == tmp_path / "x"
    for name in ("x", "x-2"):
        assert new_folder("x", tmp_path) == tmp_path / name
        (tmp_path / name).mkdir()
        assert latest_folder("x", tmp_path) == tmp_path / name
    assert new_folder("x", tmp_path) == tmp_path / "x-3"


def test_bad_samples_raise(run: Run) -> None:
    samples = BadSamples(run, "raise", 100)
    samples.take([])
    with pytest.raises(DecodeError, match=r"sample 'one': 'image': expected an image.*on_error: skip") as raised:
        samples.take(bad("one", "two"))
    assert raised.value.sample == "one" and not run.bad_ids()


@pytest.mark.parametrize(("rows", "budget"), [(5, 10), (10_999, 10), (20_000, 20)])
def test_bad_samples_have_a_budget(run: Run, rows: int, budget: int) -> None:
    samples = BadSamples(run, "skip", rows)
    names = [f"{number}" for number in range(budget)]
    for _ in range(2):
        samples.take(bad(*names))
    with pytest.raises(
        TrainingError, match=rf"{budget + 1} samples cannot be read, the budget is {budget}: see .*bad_"
    ):
        samples.take(bad("one too many"))
    lines = (run.folder / "bad_samples.jsonl").read_text().splitlines()
    assert len(lines) == budget + 1
    assert json.loads(lines[0]) == {"id": "0", "stream": "image", "reason": "expected an image"}


def test_bad_samples_of_other_processes_count(run: Run) -> None:
    one, other = BadSamples(run, "skip", 5), BadSamples(run, "skip", 5)
    one.take(bad(*"abcde"))
    other.take(bad(*"defghij"))
    assert sorted(run.bad_ids()) == list("abcdefghij")
    assert len((run.folder / "bad_samples.jsonl").read_text().splitlines()) == 10
    with pytest.raises(TrainingError, match="11 samples cannot be read"):
        other.take(bad("k"))


# Whole runs


@pytest.fixture(autouse=True)
def no_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than these trainings."""
    monkeypatch.setattr(training, "draw_curve", lambda entries, path: False)


def config(**more: Any) -> made_up.Config:
    return made_up.pipeline(**{"epochs": 4, **more}) | {"heads": {"colour": made_up.COLOUR, "shape": made_up.SHAPE}}


def rows(**splits: made_up.Rows) -> dict[str, made_up.Rows]:
    return {"train": made_up.samples(21), "valid": made_up.samples(12, seed=1), **splits}


def train(folder: Path, given: made_up.Config, data: Any = None, **more: Any) -> mmsdk.Trained:
    return mmsdk.train(given, rows() if data is None else data, out=folder, show=False, **more)


def log(folder: Path, event: str) -> list[dict[str, Any]]:
    return [entry for entry in Run(folder).entries() if entry["event"] == event]


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have the epochs of a run measure these figures of `colour/NAME`, instead of what it learned."""

    def measuring(name: str, *values: float) -> None:
        left = list(values)
        monkeypatch.setattr(figures_of, "measured", lambda *_: {f"colour/{name}": left.pop(0)} if left else {})

    return measuring


def saved_after(folder: Path, total: int) -> bool:
    """Whether the saved pipeline has the weights of that step."""
    final, then = (load_file(path) for path in (folder / "pipeline" / "model.safetensors", folder / f"{total}"))
    return all(torch.equal(final[name], tensor) for name, tensor in then.items())


@pytest.fixture
def keep_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each checkpoint's weights stay in the run's folder, under the number of its step."""
    save = Checkpoints.save

    def saving(checkpoints: Checkpoints, pipeline: Any, optimizer: Any, position: Any) -> None:
        save(checkpoints, pipeline, optimizer, position)
        if optimizer is not None:
            path = checkpoints.path(position.total) / "model.safetensors"
            (tmp_path / f"{position.total}").write_bytes(path.read_bytes())

    monkeypatch.setattr(Checkpoints, "save", saving)


@pytest.mark.usefixtures("keep_all")
def test_a_stage_ends_with_its_best_weights(tmp_path: Path, figures: Callable[..., None]) -> None:
    figures("accuracy", 0.1, 0.9, 0.4, 0.5)
    train(tmp_path, config())
    assert saved_after(tmp_path, 6) and not saved_after(tmp_path, 9)


@pytest.mark.usefixtures("keep_all")
def test_small_can_be_good(tmp_path: Path, figures: Callable[..., None]) -> None:
    figures("log_loss", 0.9, 0.5, 0.1, 0.4)
    train(tmp_path, config(select_by="colour/log_loss"))
    assert saved_after(tmp_path, 9)


def test_the_best_weights_are_those_that_measured_best(tmp_path: Path) -> None:
    """Nothing is made up here: with too high a rate, the last epoch is not the best."""
    given = config(epochs=6, learning_rate=0.3, schedule="constant", select_by="colour/log_loss")
    best = train(tmp_path / "best", given)
    measured = [entry["metrics"]["colour/log_loss"] for entry in log(tmp_path / "best", "epoch")]
    assert min(measured) < measured[-1]
    assert best.metrics["valid/colour/log_loss"] == min(measured)
    assert mmsdk.evaluate(best.run, {"valid": training_rows(rows()["valid"])})["valid/colour/log_loss"] == min(measured)
    last = train(tmp_path / "last", {**given, "training": {**given["training"], "keep": "last"}})
    assert last.metrics["valid/colour/log_loss"] == measured[-1]


def training_rows(samples: made_up.Rows) -> Any:
    from mmsdk.data.samples import as_row

    return [as_row(sample, "") for sample in samples]


def test_a_run_from_before_an_option_existed_goes_on(tmp_path: Path) -> None:
    """What its config does not name has the default; another value is another config."""
    folder = train(tmp_path / "run", config(), rows(train=made_up.samples(8))).run
    file = folder / "config.json"
    facts = json.loads(file.read_text())
    del facts["config"]["training"]["clip"]
    file.write_text(json.dumps(facts))
    run = Run(folder)
    run.require_same(mmsdk.load_config(config()))
    with pytest.raises(CheckpointError, match=r"different: training\.clip"):
        run.require_same(mmsdk.load_config(config(clip=0.5)))


def test_the_loss_of_an_epoch_is_that_of_its_samples(tmp_path: Path) -> None:
    """Not of its batches, of which the last one is smaller."""
    train(tmp_path, config(epochs=2), made_up.samples(21, untold=0.0))
    losses = [entry["losses"]["colour"] for entry in log(tmp_path, "step")]
    for number, entry in enumerate(log(tmp_path, "epoch")):
        one, two, three = losses[3 * number : 3 * number + 3]
        assert entry["losses"]["colour"] == pytest.approx((8 * one + 8 * two + 5 * three) / 21)


def test_without_a_valid_split_the_last_weights_stay(tmp_path: Path) -> None:
    trained = train(tmp_path, config(epochs=2), made_up.samples(21))
    assert trained.metrics == {}
    last = Checkpoints(tmp_path / "checkpoints", 2).newest()
    assert last is not None and last.name == "step-00000006"
    assert (last / "model.safetensors").read_bytes() == (tmp_path / "pipeline" / "model.safetensors").read_bytes()
    assert [entry["metrics"] for entry in log(tmp_path, "epoch")] == [{}, {}]


def test_an_empty_split_is_no_split(tmp_path: Path) -> None:
    trained = train(tmp_path, config(epochs=1), rows(valid=[], test=made_up.samples(5, seed=2)))
    assert {name.partition("/")[0] for name in trained.metrics} == {"test"}


@pytest.mark.parametrize(("patience", "epochs"), [(1, 3), (2, 6), (3, 7)])
def test_early_stopping(tmp_path: Path, figures: Callable[..., None], patience: int, epochs: int) -> None:
    figures("accuracy", 0.1, 0.5, 0.4, 0.6, 0.6, 0.5, 0.5, 0.9)
    train(tmp_path, config(epochs=8, early_stopping={"patience": patience, "metric": "colour/accuracy"}))
    assert len(log(tmp_path, "epoch")) == epochs
    assert log(tmp_path, "step")[-1]["total"] == 3 * epochs


def test_early_stopping_ends_one_stage_and_not_the_next(tmp_path: Path, figures: Callable[..., None]) -> None:
    figures("accuracy", 0.9, 0.5, 0.1, 0.2, 0.1)
    stages = [{"name": "one"}, {"name": "two", "epochs": 3}]
    train(tmp_path, config(early_stopping={"patience": 1, "metric": "colour/accuracy"}) | {"stages": stages})
    assert [entry["stage"] for entry in log(tmp_path, "epoch")] == ["one", "one", "two", "two", "two"]


@pytest.mark.parametrize("key", ["select_by", "early_stopping"])
@pytest.mark.parametrize("metric", ["colour/acuracy", "shape/mse"])
def test_an_unknown_metric(tmp_path: Path, key: str, metric: str) -> None:
    with pytest.raises(ConfigError, match=rf"There is no metric '{metric}'. There is: 'colour/accuracy', "):
        train(tmp_path, config(**{key: metric if key == "select_by" else {"metric": metric}}))


def test_a_metric_of_another_stage(tmp_path: Path) -> None:
    """A stage without the metric's head is judged by its own main metric."""
    given = config(epochs=1, select_by="shape/accuracy")
    given["stages"] = [{"name": "one", "heads": {"colour": 1}}, {"name": "two", "heads": {"shape": 1}}]
    assert "valid/shape/accuracy" in train(tmp_path, given).metrics


def test_frozen_parts_stay_and_make_no_noise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In each step, which is also after the measurement of an epoch."""
    given = made_up.pipeline(lively=True, epochs=2)
    given["stages"] = [
        {"name": "all", "epochs": 1},
        {"name": "some", "freeze": ["streams.text", "streams.image.encoder"]},
    ]
    before: dict[str, Tensor] = {}
    modes: dict[str, set[bool]] = {}
    step = Journal.step

    def watched(journal: Journal, *arguments: Any) -> None:
        pipeline = journal.job.pipeline
        if journal.plan.config.name == "some":
            before.update({} if before else {name: each.clone() for name, each in pipeline.state_dict().items()})
            for name in ("streams.text", "streams.image", "streams.numbers.encoder", "fusion", "heads"):
                part = pipeline.get_submodule(name)
                modes.setdefault(name, set()).update(each.training for each in part.modules() if each is not part)
        step(journal, *arguments)

    monkeypatch.setattr(Journal, "step", watched)
    after = train(tmp_path, given).pipeline.state_dict()
    assert len(log(tmp_path, "epoch")) == 3
    assert modes.pop("streams.text") == modes.pop("streams.image") == {False}
    assert set(map(frozenset, modes.values())) == {frozenset({True})}
    for name, tensor in before.items():
        frozen = name.startswith(("streams.text.", "streams.image."))
        assert torch.equal(after[name], tensor) == frozen, name


# Bad losses


class Infinite(TaskHead):
    """A loss that is infinite, with a gradient or not, where a row's numbers begin with more than 2."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.weight, self.kind = nn.Parameter(torch.zeros(8)), kind

    def forward(self, reads: Mapping[str, Encoding], target: Inputs | None, step: Step) -> HeadOutput:
        (encoding,) = reads.values()
        own = encoding.pooled @ self.weight
        if self.kind == "loss" and (step.inputs["numbers"]["values"][..., 0] > 2).any():
            own = own + math.inf
        if self.kind == "gradient":
            own = own + (self.weight - self.weight.detach()).abs().sqrt().sum()
        return HeadOutput(loss=own.sum(), count=encoding.present.sum(), present=encoding.present)


class InfiniteConfig(mmsdk.HeadConfig):
    """Cannot be trained."""

    type: Literal["infinite"] = "infinite"
    needs_target: ClassVar[bool] = False
    predicts: ClassVar[bool] = False
    bad: str = "loss"

    def build(self, sources: Mapping[str, Source], target: Format | None) -> TaskHead:
        return Infinite(self.bad)


@pytest.mark.parametrize("kind", ["loss", "gradient"])
def test_a_loss_that_is_not_finite(tmp_path: Path, fresh_registry: Registry, kind: str) -> None:
    """The step and its samples are named, and the run can go on from before it."""
    fresh_registry.register(InfiniteConfig)
    data = made_up.samples(16, absent=0.0)
    for row in data:
        row["numbers"] = [0.1 * len(row["id"])] * 5
    given = config(checkpoint={"every": 1})
    given["heads"] = {"colour": made_up.COLOUR, "odd": {"type": "infinite", "reads": ["numbers"], "bad": kind}}
    given["streams"] = {**made_up.STREAMS, "numbers": {**made_up.STREAMS["numbers"], "modality": RAW}}
    if kind == "loss":
        data[5]["numbers"] = [9.0] * 5
        what = "the loss of 'odd' is not finite.*'0-5'"
    else:
        what = "a gradient .*nan.* is not finite"
    with pytest.raises(TrainingError, match=rf"Step \d+: {what}.*the last checkpoint is intact") as raised:
        train(tmp_path, given, data)
    number = int(str(raised.value).removeprefix("Step ").partition(":")[0])
    newest = Checkpoints(tmp_path / "checkpoints", 2).newest()
    assert (int(newest.name[-3:]) if newest is not None else 0) == number - 1
    assert [entry["total"] for entry in log(tmp_path, "step")] == list(range(1, number))


RAW = {"type": "features", "standardize": False}


def test_a_rate_that_is_too_high(tmp_path: Path) -> None:
    given = config(learning_rate=1e30, warmup=0.0, clip=None)
    with pytest.raises(TrainingError, match=r"Step \d+: .* not finite. Samples of this batch: '0-.*learning_rate"):
        train(tmp_path, given)
    assert all(math.isfinite(loss) for entry in log(tmp_path, "step") for loss in entry["losses"].values())


def test_a_precision_that_the_processor_does_not_have(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"training.precision: float16 needs a GPU"):
        train(tmp_path, config(precision="float16"))


# Bad samples


def with_bad(many: int, split: str = "train") -> dict[str, made_up.Rows]:
    data = rows(train=made_up.samples(40))
    for row in data[split][-many:]:  # the first ones tell how many numbers there are
        row["numbers"] = made_up.UNREADABLE
    return data


def test_a_sample_that_cannot_be_read_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(DecodeError, match=r"sample '0-39': 'numbers': expected 5 features.*on_error: skip"):
        train(tmp_path, config(), with_bad(1))


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [0, 2])
def test_samples_that_cannot_be_read_are_left_out(tmp_path: Path, workers: int) -> None:
    data = with_bad(10)
    train(tmp_path, config(epochs=2, on_error="skip", workers=workers), data)
    lines = [json.loads(line) for line in (tmp_path / "bad_samples.jsonl").read_text().splitlines()]
    assert sorted(line["id"] for line in lines) == sorted(row["id"] for row in data["train"][-10:])
    assert {line["stream"] for line in lines} == {"numbers"}


def test_the_budget_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"samples cannot be read, the budget is 10: see .*bad_samples.jsonl"):
        train(tmp_path, config(on_error="skip"), with_bad(12))


def test_bad_samples_of_a_run_that_goes_on_count_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stopped(Exception):
        pass

    def stopped(*_: object) -> None:
        raise Stopped

    given = config(epochs=2, on_error="skip")
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(figures_of, "final_metrics", stopped)
        train(tmp_path, given, with_bad(10))
    train(tmp_path, given, with_bad(10), resume=True)
    assert len((tmp_path / "bad_samples.jsonl").read_text().splitlines()) == 10


def test_a_label_that_training_never_saw(tmp_path: Path) -> None:
    data = rows()
    data["valid"][3]["colour"] = "purple"
    with pytest.raises(DecodeError, match=r"sample '1-3': 'colour': label 'purple' was never seen in training"):
        train(tmp_path / "raise", config(epochs=1), data)
    trained = train(tmp_path / "skip", config(epochs=1, on_error="skip"), data)
    assert Run(trained.run).bad_ids() == {"1-3"}


def test_rows_without_any_stream_are_left_out_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    full = made_up.samples(21)
    empty = [{"id": f"empty-{number}", "colour": "red", "text": " ", "numbers": []} for number in range(5)]
    one = train(tmp_path / "one", config(epochs=1), rows(train=full))
    two = mmsdk.train(config(epochs=1), rows(train=[*full[:9], *empty, *full[9:]]), out=tmp_path / "two")
    assert one.metrics == two.metrics
    assert "train: 5 training rows without any stream are left out" in capsys.readouterr().err
    with pytest.raises(DataError, match=r"nothing to train on.*'train' has only rows without any stream"):
        train(tmp_path / "three", config(epochs=1), rows(train=empty))


def test_stages_that_share_data_are_fitted_to_it_once(tmp_path: Path) -> None:
    """A word that occurs once is rare, however many stages read it."""
    given = config(epochs=1)
    given["streams"] = {"text": {"modality": {"type": "text", "min_count": 2}, "encoder": "bag"}}
    given["heads"] = {"colour": {**made_up.COLOUR, "reads": ["text"]}}
    given.pop("fusion")
    data = [{"text": f"word{number} often", "colour": "red" if number % 2 else "blue"} for number in range(6)]
    sizes = []
    for count in (1, 2):
        given["stages"] = [{"name": f"stage_{number}"} for number in range(count)]
        pipeline = train(tmp_path / f"{count}", given, data).pipeline
        sizes.append(pipeline.modalities.streams["text"].format.vocabulary)
    assert sizes[0] == sizes[1]
