"""The plugin of docs/write_a_modality.md, as it stands there: installed, tested, checked, trained with."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.test_outside_plugin import DOCS, installer


def blocks(language: str) -> list[str]:
    text = (DOCS / "write_a_modality.md").read_text(encoding="utf-8")
    text = text.partition("\n## What else")[0]  # what follows are parts
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


def run(folder: Path, path: Path, *command: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(path)}
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source, target = tmp_path_factory.mktemp("mmsdk-motion"), tmp_path_factory.mktemp("installed")
    (source / "mmsdk_motion").mkdir()
    declaration, implementation, _ = blocks("python")
    files = {"pyproject.toml": blocks("toml")[0], "mmsdk_motion/__init__.py": ""}
    files |= {"mmsdk_motion/plugin.py": declaration, "mmsdk_motion/recording.py": implementation}
    for name, text in files.items():
        (source / name).write_text(text)
    command = [*installer(), "install", "--no-deps", "--target", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return target


def test_it_is_short() -> None:
    """Lines with something on them."""
    lines = [line for code in [*blocks("toml"), *blocks("python")] for line in code.splitlines() if line.strip()]
    assert len(lines) <= 80


def test_it_keeps_the_promises_of_a_modality(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "test_recording.py").write_text(blocks("python")[2])
    output = run(tmp_path, installed, "pytest", "-q", "-W", "error", "test_recording.py")
    assert int(re.findall(r"(\d+) passed", output)[0]) >= 18


def test_it_can_be_checked_from_outside(installed: Path, tmp_path: Path) -> None:
    told = json.loads(run(tmp_path, installed, "mmsdk", "plugins", "check", "mmsdk-motion", "--json"))
    outcomes = {promise["outcome"] for promise in told["promises"]}
    assert told["sound"] is True and told["plugin"] == "motion" and outcomes == {"passed", "skipped"}


def test_it_trains(installed: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = ["motion,activity"]
    for number in range(60):
        shaking = number % 2
        moments = np.array([0, 0, 1]) + rng.normal(0, 0.9 if shaking else 0.05, (rng.integers(5, 20), 3))
        np.savetxt(tmp_path / f"{number}.csv", moments, delimiter=",")
        rows.append(f"{number}.csv,{'run' if shaking else 'rest'}")
    (tmp_path / "recordings.csv").write_text("\n".join(rows))
    (config,) = blocks("yaml")
    (tmp_path / "motion.yaml").write_text(config)
    settings = ["--set", "training.epochs=15", "--set", "training.learning_rate=0.01", "--json"]
    told = json.loads(run(tmp_path, installed, "mmsdk", "train", "motion.yaml", *settings).splitlines()[-1])
    assert told["metrics"]["test/activity/accuracy"] >= 0.9
    (tmp_path / "bad.csv").write_text("1,2\n3,4\n")
    done = run(tmp_path, installed, "mmsdk", "predict", told["run"], "motion=0.csv", "--json")
    assert json.loads(done)["results"][0]["activity"]["value"] == "rest"
