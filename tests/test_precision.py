"""Predictions, embeddings and figures in bfloat16: close to those in float32, and only where they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch

import mmsdk
from mmsdk.builtin.encoders.mlp import MlpEncoder
from mmsdk.errors import ConfigError, ExportError
from tests.programs import made_up


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = made_up.pipeline(epochs=4)
    rows = {"train": made_up.samples(60), "valid": made_up.samples(30, seed=1)}
    return mmsdk.train(config, rows, out=tmp_path_factory.mktemp("run"), show=False).run


ROWS = made_up.samples(30, seed=2)


def computed_in(pipeline: mmsdk.Pipeline) -> torch.dtype:
    """What a matrix product in the pipeline gives."""
    found: list[torch.dtype] = []
    forward = MlpEncoder.forward

    def seeing(encoder: MlpEncoder, inputs: Any) -> Any:
        probe = torch.ones(2, 2)
        found.append((probe @ probe).dtype)
        return forward(encoder, inputs)

    with patch.object(MlpEncoder, "forward", seeing):
        pipeline.predict(ROWS)
    return found[0]


def test_predictions_and_embeddings_are_close(run: Path) -> None:
    plain, short = mmsdk.Pipeline.load(run), mmsdk.Pipeline.load(run, precision="bfloat16")
    assert (computed_in(plain), computed_in(short)) == (torch.float32, torch.bfloat16)
    for one, other in zip(plain.predict(ROWS), short.predict(ROWS), strict=True):
        for name, prediction in one.predictions.items():
            assert other[name].scores == pytest.approx(prediction.scores, abs=0.02)
    wanted, found = plain.embed(ROWS), short.embed(ROWS)
    for source, vectors in wanted.items():
        assert found[source].dtype is torch.float32
        assert not torch.equal(found[source], vectors) and torch.allclose(found[source], vectors, atol=0.02)
    figures = [mmsdk.evaluate(each, {"test": ROWS}, cache="off") for each in (plain, short)]
    assert figures[1] == pytest.approx(figures[0], abs=0.1)


def test_it_can_be_set_and_is_not_saved(run: Path, tmp_path: Path) -> None:
    pipeline = mmsdk.Pipeline.load(run)
    fingerprint = pipeline.fingerprint()
    pipeline.precision = "bfloat16"
    assert computed_in(pipeline) is torch.bfloat16 and pipeline.fingerprint() == fingerprint
    assert mmsdk.Pipeline.load(pipeline.save(tmp_path / "saved")).precision == "float32"
    with pytest.raises(ConfigError, match=r"There is no precision 'float8' to predict in. There is: 'float32', 'bfl"):
        pipeline.precision = "float8"  # type: ignore[assignment]
    assert pipeline.precision == "bfloat16"


def test_an_exported_pipeline_keeps_its_own(run: Path, tmp_path: Path) -> None:
    mmsdk.Pipeline.load(run).export(tmp_path / "exported", ROWS)
    with pytest.raises(ExportError, match="computes in float32: leave the precision out, or name the run"):
        mmsdk.Pipeline.load(tmp_path / "exported", precision="bfloat16")
    assert mmsdk.Pipeline.load(tmp_path / "exported").precision == "float32"


def test_commands_take_it(run: Path, tmp_path: Path, cli: Callable[..., Any]) -> None:
    file = tmp_path / "rows.jsonl"
    made_up_lines(file)
    outputs = {}
    for precision in ("float32", "bfloat16"):
        outputs[precision] = tmp_path / f"{precision}.jsonl"
        given = ["--input", str(file), "--output", str(outputs[precision]), "--precision", precision]
        assert cli("predict", str(run), *given).exit_code == 0
        out = str(tmp_path / precision)
        assert cli("embed", str(run), "--data", str(file), "--out", out, "--precision", precision).exit_code == 0
    assert outputs["float32"].read_text() != outputs["bfloat16"].read_text()
    refused = cli("evaluate", str(run), "--subsets", "--precision", "bfloat16")
    assert refused.exit_code == 1 and "--precision is for the figures alone" in refused.stderr


def test_results_are_not_gone_on_with_in_another(run: Path, tmp_path: Path, cli: Callable[..., Any]) -> None:
    from mmsdk.cli.results import ResultFile

    short = mmsdk.Pipeline.load(run, precision="bfloat16")
    with pytest.raises(KeyboardInterrupt), ResultFile(tmp_path / "out.jsonl", short, resume=False):
        raise KeyboardInterrupt
    file = tmp_path / "rows.jsonl"
    made_up_lines(file)
    refused = cli("predict", str(run), "--input", str(file), "--output", str(tmp_path / "out.jsonl"), "--resume")
    assert refused.exit_code == 1 and "was begun with another pipeline or precision" in refused.stderr


def made_up_lines(file: Path) -> None:
    import json

    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
