"""Processes that hold shares of a pipeline compute what one does, and go on with what any number of them began."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import mmsdk
from mmsdk.errors import CheckpointError, ConfigError
from mmsdk.folders import verify_folder
from mmsdk.training.shards import load_shards, names_in, save_shards
from tests.programs import sharding
from tests.test_processes import log, weights


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of one process, "one" and "for_one", and of two that hold shares, see `sharding`; warnings are errors."""
    folder = tmp_path_factory.mktemp("runs")
    sharding.train(folder / "one")
    sharding.train(folder / "from_one", stop=sharding.STOP)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    environment = os.environ | {"PYTHONWARNINGS": "error", "ACCELERATE_USE_CPU": "1", "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[1])
    command = [*launch, sharding.__file__, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    sharding.train(folder / "for_one", resume=True)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("run", ["whole", "resumed", "for_one", "from_one"])
def test_shares_have_the_losses_and_the_weights_of_one_process(runs: Path, run: str) -> None:
    one, two = log(runs / "one"), log(runs / run)
    assert len(one) == 2 * 2 * (5 + 1) and [each["event"] for each in one] == [each["event"] for each in two]
    for mine, other in zip(one, two, strict=True):
        assert other["losses"] == pytest.approx(mine["losses"], rel=1e-5, abs=1e-5)
        assert other.get("norm", 0.0) == pytest.approx(mine.get("norm", 0.0), rel=1e-4)
        assert other.get("metrics", {}) == pytest.approx(mine.get("metrics", {}), rel=1e-5, abs=1e-5)
    assert weights(runs / run).keys() == weights(runs / "one").keys()
    for name, tensor in weights(runs / "one").items():
        assert torch.allclose(weights(runs / run)[name], tensor, rtol=0, atol=1e-5), name
    first, second = (json.loads((runs / each / "metrics.json").read_text())["metrics"] for each in ("one", run))
    assert first and second == pytest.approx(first, rel=1e-5, abs=1e-5)


@pytest.mark.slow
def test_as_many_processes_go_on_exactly(runs: Path) -> None:
    assert all(torch.equal(weights(runs / "resumed")[name], each) for name, each in weights(runs / "whole").items())
    assert [each["losses"] for each in log(runs / "resumed")] == [each["losses"] for each in log(runs / "whole")]


@pytest.mark.slow
def test_checkpoints_are_shares_of_all_and_hold_no_pickle(runs: Path) -> None:
    (checkpoint,) = (runs / "resumed" / "checkpoints").glob("step-00000018")
    verify_folder(checkpoint)
    files = sorted(path for path in (checkpoint / "shards").iterdir())
    assert [path.suffix for path in files] == [".safetensors"] * 2
    sizes = [path.stat().st_size for path in files]
    assert max(sizes) < 1.5 * min(sizes), "each process holds about as much as the other"
    names = names_in(checkpoint / "shards")
    assert {name.partition(".")[0] for name in names} == {"model", "optimizer"}
    saved = mmsdk.Pipeline.load(runs / "resumed").state_dict()
    assert {name: each.shape for name, each in saved.items()} == {
        name.removeprefix("model."): shape for name, shape in names.items() if name.startswith("model.")
    }


def test_what_does_not_fit_is_told(tmp_path: Path) -> None:
    save_shards({"a": torch.arange(6.0).view(3, 2), "b": torch.tensor(3.0)}, tmp_path / "shards")
    found = {"a": torch.zeros(3, 2), "b": torch.tensor(0.0)}
    load_shards(found, tmp_path / "shards")
    assert found["a"].flatten().tolist() == [0, 1, 2, 3, 4, 5] and found["b"] == 3
    for wrong in ({"a": torch.zeros(4, 2)}, {"c": torch.zeros(3, 2)}):
        with pytest.raises(CheckpointError, match="shards: does not fit this pipeline"):
            load_shards(wrong, tmp_path / "shards")


@pytest.mark.parametrize(("training", "said"), [
    ({"micro_batch": 4}, "'micro_batch' lets each process call its layers as often as it needs"),
    ({"balance": "ogm_ge"}, "'balance' looks at whole gradients"),
    ({"precision": "float16"}, "write bfloat16 or float32"),
])  # fmt: skip
def test_what_cannot_be_divided_is_refused(training: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        mmsdk.load_config(sharding.job(**training)[0])


def test_only_one_divides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(ConfigError, match=r"write 'training: \{sharding: full\}'"):
        sharding.train(tmp_path)
