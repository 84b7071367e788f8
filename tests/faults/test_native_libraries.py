"""F12: libraries that are there but cannot be loaded: whoever does not need them does not notice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

LIBRARIES = ("torchvision", "torchaudio", "torchcodec", "sklearn", "matplotlib", "torchmetrics")
TRAINS = """
import sys, mmsdk
from pathlib import Path
from tests.programs import made_up
trained = mmsdk.train(made_up.pipeline(), made_up.samples(20), out=Path(sys.argv[1]) / "run", show=False)
results = mmsdk.Pipeline.load(trained.run).predict(made_up.samples(3))
assert [result.error for result in results] == [None] * 3
"""


@pytest.mark.faults("F12")
@pytest.mark.slow
@pytest.mark.parametrize("error", ["OSError", "RuntimeError"])
def test_the_core_trains_without_them(tmp_path: Path, error: str) -> None:
    for name in LIBRARIES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise {error}('lib{name}.so: undefined symbol')")
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{root}"}

    def python(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-P", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, cwd=tmp_path)

    done = python("-c", TRAINS, str(tmp_path))
    assert done.returncode == 0, done.stderr
    shown = python("-m", "mmsdk", "plugins", "--json")
    assert shown.returncode == 0, shown.stderr
    loaded = {plugin["distribution"] for plugin in json.loads(shown.stdout)["plugins"] if plugin["state"] == "loaded"}
    assert {"mmsdk", "mmsdk-fusion", "mmsdk-video"} <= loaded
