"""`mmsdk export`, and what is done with the folder: opened, refused, noticed when it was changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import mmsdk
from mmsdk.containers import Encoding
from mmsdk.errors import CheckpointError, ExportError
from mmsdk.export import parity
from mmsdk.export.folder import export_pipeline, open_exported
from mmsdk.export.runtime import Runner
from tests.export.pipelines import LABEL, NUMBERS, TEXT, config, pipeline, rows, sample
from tests.tables import write_table

Cli = Callable[..., Any]
PAIRS = {"pairs": {"type": "contrastive", "reads": ["words", "numbers"], "width": 8}}
PLAIN = ("id", "words", "numbers", "label")


def table(path: Path, count: int = 24) -> Path:
    """Rows of which some lack a stream."""
    made = [{key: sample(number)[key] for key in PLAIN} for number in range(count)]
    for number, row in enumerate(made):
        if number % 4:
            row.pop(("", "words", "numbers", "")[number % 4], None)
    return write_table(path, made)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A trained run whose held-out rows the export is checked with."""
    data = {"path": str(table(tmp_path / "rows.jsonl", 60)), "holdout": {"valid": 0.3}}
    parts = config(heads={"y": LABEL, **PAIRS}) | {"data": data, "training": {"epochs": 1, "batch_size": 8}}
    return Path(mmsdk.train(parts, out=tmp_path / "run", show=False).run)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_run_is_exported_and_answers_as_before(cli: Cli, run: Path, tmp_path: Path) -> None:
    done = cli("export", run, "--format", "onnx", "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["heads"] == ["y", "pairs"] and told["difference"] <= 1e-5 and told["batches"] >= 8
    given, folder = table(tmp_path / "in.jsonl"), told["exported"]
    outputs = {}
    for name, arguments in {"torch": [run], "there": [run, "--engine", "onnxruntime"], "folder": [folder]}.items():
        outputs[name] = tmp_path / f"{name}.jsonl"
        assert cli("predict", *arguments, "--input", given, "--output", outputs[name]).exit_code == 0
    for name in ("there", "folder"):
        for one, other in zip(lines(outputs[name]), lines(outputs["torch"]), strict=True):
            assert one["id"] == other["id"] and one["y"].keys() == other["y"].keys()
            assert one["y"]["scores"] == pytest.approx(other["y"]["scores"], abs=1e-5)


def test_embeddings_are_the_same(cli: Cli, run: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    folder = tmp_path / "graph"
    assert cli("export", run, "--output", folder).exit_code == 0
    given = table(tmp_path / "in.jsonl")
    for name, source in (("eager", run), ("graph", folder)):
        assert cli("embed", source, "--data", given, "--out", tmp_path / f"{name}-vectors").exit_code == 0
    eager, graph = (tmp_path / f"{name}-vectors" for name in ("eager", "graph"))
    for stream in ("words", "numbers"):
        one, other = (load_file(each / f"{stream}.safetensors")["vectors"] for each in (eager, graph))
        assert (one - other).abs().max() <= 1e-5 and one.any()
    assert (eager / "embeddings.json").read_text() == (graph / "embeddings.json").read_text()


def test_a_program_of_torch_holds_no_rows_and_is_not_opened(cli: Cli, run: Path) -> None:
    done = cli("export", run, "--format", "torch")
    assert done.exit_code == 0, done.stderr
    program = torch.export.load(str(run / "exported" / "torch" / "model.pt2"))
    assert program.example_inputs is None
    refused = cli("predict", run / "exported" / "torch", "words=w1")
    assert (
        refused.exit_code == 1 and "a program of torch.export, which mmsdk writes and does not open" in refused.stderr
    )


@pytest.mark.parametrize("name", ["model.onnx", "export.json", "modalities.json"])
def test_a_file_that_was_changed_is_noticed(name: str, tmp_path: Path) -> None:
    folder = export_pipeline(pipeline(config()), tmp_path / "out", rows()).folder
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=f"{name}: damaged: its content is not what was written"):
        open_exported(folder)


def test_a_run_that_was_trained_again_is_noticed(cli: Cli, run: Path) -> None:
    refused = cli("predict", run, "words=w1", "--engine", "onnxruntime")
    assert refused.exit_code == 1 and f"has not been exported yet: mmsdk export {run}" in refused.stderr
    assert cli("export", run).exit_code == 0
    pipeline(config(heads={"y": LABEL, **PAIRS}), seed=5).save(run / "pipeline")
    refused = cli("predict", run, "words=w1", "--engine", "onnxruntime")
    assert refused.exit_code == 1 and "was made of another pipeline than this run has now" in refused.stderr


def test_a_graph_that_differs_is_refused_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slightly_off(path: Path) -> Runner:
        from mmsdk.export.runtime import onnx_runner

        run = onnx_runner(path)
        return lambda inputs: {
            name: each + 2e-5 if each.is_floating_point() else each for name, each in run(inputs).items()
        }

    monkeypatch.setattr("mmsdk.export.folder.onnx_runner", slightly_off)
    with pytest.raises(ExportError, match=r"differs from the pipeline by .* on a batch of 1, in 'y.scores'"):
        export_pipeline(pipeline(config()), tmp_path / "out", rows())
    assert list(tmp_path.iterdir()) == []


def test_absent_streams_are_part_of_the_check() -> None:
    eager = pipeline(config())
    names = [name for name, _ in parity._batches(eager, rows())]
    assert {"a batch without 'words'", "a batch without 'numbers'", "a batch without any stream"} <= set(names)
    assert sum("a third of the rows" in name for name in names) == 2


class Branching(nn.Module):
    width = pooled_width = 8
    temperature = None
    blocks = fixed = ()

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 8)

    def forward(self, inputs: dict[str, Tensor]) -> Encoding:
        tokens = self.layer(inputs["values"])
        if float(tokens.sum()) > 0:
            tokens = tokens * 2
        return Encoding(tokens, inputs["mask"], tokens.mean(dim=1))


def test_what_cannot_be_traced_is_named(tmp_path: Path) -> None:
    eager = pipeline(config())
    eager.streams["numbers"].encoder = Branching()  # type: ignore[assignment]
    with pytest.raises(ExportError, match="encoder 'mlp' of stream 'numbers' cannot be exported"):
        export_pipeline(eager.eval(), tmp_path / "out", rows())
    assert not (tmp_path / "out").exists()


def test_mistakes_are_told(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = export_pipeline(pipeline(config()), tmp_path / "out", rows()).folder
    saved = pipeline(config()).save(tmp_path / "saved")
    taken = tmp_path / "taken"
    taken.mkdir()
    for arguments, words in {
        ("export", folder): "this is an exported pipeline: export the run that it was made of",
        ("export", saved): "has no data of its own: give --data FILE",
        ("export", saved, "--data", table(tmp_path / "d.jsonl"), "--output", taken): "is no exported pipeline: choose",
        ("predict", folder, "words=w1", "--engine", "torch"): "leave --engine out, or name the run",
    }.items():
        refused = cli(*arguments)
        assert refused.exit_code == 1 and words in refused.stderr, refused.stderr
    opened = open_exported(folder)
    with pytest.raises(ExportError, match="has no weights to save"):
        opened.save(tmp_path / "again")
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(ExportError, match=r"'onnxruntime' is not installed: pip install 'mmsdk\[onnx\]'"):
        open_exported(folder)


def test_values_that_are_shared_are_answered_alike(tmp_path: Path) -> None:
    """A batch holds each distinct value once; the graph has a row for each sample."""
    parts = config(streams={"words": TEXT, "numbers": NUMBERS})
    eager = pipeline(parts)
    graph = open_exported(export_pipeline(eager, tmp_path / "out", rows()).folder)
    given = [{"words": "w1 w2"}, {"words": "w1 w2", "numbers": [[1.0, 2.0, 3.0]]}, {"words": "w3"}, {"words": "w1 w2"}]
    for one, other in zip(graph.predict(given), eager.predict(given), strict=True):
        assert one["y"].scores == pytest.approx(other["y"].scores, abs=1e-5)


def test_a_recurrent_encoder_is_one_operator_of_torch(tmp_path: Path) -> None:
    streams = {"words": {"modality": "text", "encoder": {"type": "rnn", "width": 8}}, "numbers": NUMBERS}
    done = export_pipeline(pipeline(config(streams=streams)), tmp_path / "out", rows(), "torch")
    assert done.difference <= 1e-5
    program = torch.export.load(str(done.folder / "model.pt2"))
    assert "mmsdk.recurrence.default" in {str(node.target) for node in program.graph.nodes}
