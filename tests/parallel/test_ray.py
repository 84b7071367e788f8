"""Ray Data as the engine, started on this machine: what it writes is what one process writes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from mmsdk.parallel import ray_data
from mmsdk.parallel.embedding import write_embeddings
from mmsdk.parallel.prediction import predict_in_parts
from mmsdk.parallel.team import Team
from mmsdk.pipeline.pipeline import Pipeline
from tests.cli.test_predict import saved, table
from tests.parallel.test_parts import require_same
from tests.test_pipeline import ROWS, build

PROGRAM = """
import sys
import ray
from mmsdk.cli import app

ray.init("local", num_cpus=2, include_dashboard=False)
predicting, embedding, bad, out = sys.argv[1:5]
for arguments in (
    ["predict", predicting, "--input", f"{out}/in.jsonl", "--output", f"{out}/ray.jsonl", "--engine", "ray"],
    ["embed", embedding, "--data", f"{out}/rows.jsonl", "--out", f"{out}/ray", "--engine", "ray"],
    ["predict", predicting, "--input", bad, "--output", f"{out}/none.jsonl", "--engine", "ray"],
):
    try:
        app(arguments)
    except SystemExit as end:
        print("ends with", end.code)
"""


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.skipif(find_spec("ray") is None, reason="needs Ray: pip install 'mmsdk[ray]'")
def test_ray_writes_what_one_process_writes(tmp_path: Path) -> None:
    run, near = saved(tmp_path / "run"), build().eval()
    source, rows, bad = table(tmp_path / "in.jsonl", 300), tmp_path / "rows.jsonl", tmp_path / "bad.jsonl"
    rows.write_text("".join(json.dumps({"id": str(n), **ROWS[n % len(ROWS)]}) + "\n" for n in range(200)))
    bad.write_text(source.read_text() + "{\n")
    command = [sys.executable, "-c", PROGRAM, run, near.save(tmp_path / "near"), bad, tmp_path]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=1000)
    assert "300 results" in done.stdout and "200 rows" in done.stdout, done.stderr
    assert [line for line in done.stdout.splitlines() if "ends" in line] == [
        "ends with 0",
        "ends with 0",
        "ends with 1",
    ]
    assert done.stderr.count(f"error: {bad}:301: not JSON") == 1 and not (tmp_path / "none.jsonl").exists()
    predict_in_parts(Pipeline.load(run), source, tmp_path / "one.jsonl", Team())
    require_same(tmp_path / "ray.jsonl", tmp_path / "one.jsonl")
    write_embeddings(near, rows, tmp_path / "one", Team())
    for name in ("word.safetensors", "vector.safetensors"):
        one, other = (load_file(tmp_path / engine / name)["vectors"] for engine in ("one", "ray"))
        assert torch.allclose(one, other, atol=1e-6)
    assert (tmp_path / "one/ids.json").read_text() == (tmp_path / "ray/ids.json").read_text()


def test_without_ray_or_beside_torchrun(
    cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, source, out = saved(tmp_path / "run"), table(tmp_path / "in.jsonl", 3), tmp_path / "out.jsonl"
    monkeypatch.setitem(sys.modules, "ray", None)
    refused = cli("predict", run, "--input", source, "--output", out, "--engine", "ray")
    assert refused.exit_code == 1 and "pip install 'mmsdk[ray]'" in refused.stderr
    assert "give --input and --output" in cli("predict", run, "words=a", "--engine", "ray").stderr
    monkeypatch.setattr(ray_data, "_ray", lambda: None)
    with pytest.raises(Exception, match="leave torchrun out"):
        predict_in_parts(Pipeline.load(run), source, out, Team(processes=2), on_ray=run)
