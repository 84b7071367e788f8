"""What `pip install` gives: wheels of all packages in environments without the source, newest and lowest versions."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECTS = [ROOT, *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))]
PYTHONS = ("3.11", "3.12", "3.13")
SHARED = """
from mmsdk import Pipeline
Pipeline.from_pretrained("quickstart/run").save_pretrained("shared", license="mit")
print(*Pipeline.from_pretrained("shared").config.heads)
"""

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(1200)]


def done(*command: str | Path, where: Path, check: bool = True) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    ran = subprocess.run([str(part) for part in command], cwd=where, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0 or not check, f"{command}\n{ran.stdout[-2000:]}\n{ran.stderr[-4000:]}"
    return ran.stdout + ran.stderr


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("wheels")
    done("uv", "build", "--all-packages", "--wheel", "--out-dir", folder, "--quiet", where=ROOT)
    found = sorted(folder.glob("*.whl"))
    assert len(found) == len(PROJECTS)
    return found


def required() -> list[str]:
    """What the packages require of others, with their lowest versions, and the quickstart's extra."""
    found: set[str] = set()
    for project in PROJECTS:
        content = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        found |= {*content["dependencies"], *content.get("optional-dependencies", {}).get("quickstart", [])}
    return sorted(each for each in found if not each.startswith("mmsdk"))


def interpreter(version: str, where: Path) -> Path:
    """One that uv finds, or that pyenv has installed."""
    command = ["uv", "python", "find", "--no-project", "--no-python-downloads", version]
    finding = subprocess.run(command, capture_output=True, text=True, cwd=where)
    if finding.returncode == 0:
        return Path(finding.stdout.strip())
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = sorted(root.glob(f"versions/{version}.*/bin/python"))
    if not found:
        pytest.skip(f"there is no Python {version} on this machine")
    return found[-1]


def installed(python: str, wheels: Sequence[Path], where: Path, *options: str) -> Path:
    """The folder of the programs of a fresh environment."""
    done("uv", "venv", "--quiet", "--no-project", "--python", interpreter(python, where), "fresh", where=where)
    programs = where / "fresh" / ("Scripts" if sys.platform == "win32" else "bin")
    done(
        "uv", "pip", "install", "--quiet", "--python", programs / "python", *options, *wheels, *required(), where=where
    )
    return programs


def shown_to_work(programs: Path, where: Path) -> None:
    """The quickstart and the commands that it names, and the plugins' commands, in a folder without the source."""
    place = done(programs / "python", "-c", "import mmsdk; print(mmsdk.__file__)", where=where)
    assert place.startswith(str(where / "fresh"))
    doctor = done(programs / "mmsdk", "doctor", where=where)
    assert "all is well" in doctor and "torch build" in doctor
    assert "fused" in done(programs / "mmsdk", "quickstart", where=where)
    row = ["image=quickstart/images/1398.png", "text=what digit do you see?"]
    assert "4" in done(programs / "mmsdk", "predict", "quickstart/run", *row, where=where)
    assert "answer/accuracy" in done(programs / "mmsdk", "evaluate", "quickstart/run", where=where)
    assert "--port" in done(programs / "mmsdk", "serve", "--help", where=where)
    assert "answer" in done(programs / "python", "-c", SHARED, where=where)


@pytest.mark.parametrize("python", PYTHONS)
def test_the_newest_of_everything_runs_the_quickstart(python: str, wheels: list[Path], tmp_path: Path) -> None:
    shown_to_work(installed(python, wheels, tmp_path), tmp_path)


def test_the_lowest_allowed_versions_run_the_quickstart(wheels: list[Path], tmp_path: Path) -> None:
    programs = installed(PYTHONS[0], wheels, tmp_path, "--resolution", "lowest-direct")
    shown_to_work(programs, tmp_path)
    lowest = next(each.split(">=")[1] for each in required() if each.startswith("torch>="))
    assert f"torch: {lowest}" in done(programs / "mmsdk", "doctor", where=tmp_path)
