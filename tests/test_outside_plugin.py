"""The plugin of docs/write_a_fusion.md, as it stands there, works from outside: installed, found, trained, missed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

DOCS = Path(__file__).parent.parent / "docs"
PAGE = DOCS / "write_a_fusion.md"
Run = Callable[..., subprocess.CompletedProcess[str]]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)


def test_it_is_short() -> None:
    """Empty lines count."""
    (project,) = blocks("toml")
    assert len(project.splitlines()) <= 12
    assert sum(len(code.splitlines()) for code in blocks("python")) <= 30


def test_the_declaration_imports_no_torch() -> None:
    declaration, implementation = blocks("python")
    assert "import torch" in implementation and "torch" not in declaration


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the installed plugin, to be put on PYTHONPATH."""
    source, target = tmp_path_factory.mktemp("mmsdk-demo"), tmp_path_factory.mktemp("installed")
    (source / "mmsdk_demo").mkdir()
    names = ("pyproject.toml", "mmsdk_demo/plugin.py", "mmsdk_demo/max.py", "mmsdk_demo/__init__.py")
    for name, text in zip(names, [*blocks("toml"), *blocks("python"), ""], strict=True):
        (source / name).write_text(text)
    command = [*installer(), "install", "--no-deps", "--target", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return target


def installer() -> list[str]:
    """uv where there is one, else pip."""
    if shutil.which("uv"):
        return ["uv", "pip"]
    has_uv = subprocess.run([sys.executable, "-m", "uv", "--version"], capture_output=True).returncode == 0
    return [sys.executable, "-m", *(["uv", "pip"] if has_uv else ["pip"])]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table with pictures and titles, some of which are missing, and the page's config."""
    folder = tmp_path_factory.mktemp("desk")
    lines = ["photo,title,category"]
    for number in range(40):
        category = ("garden", "office")[number % 2]
        Image.new("RGB", (8, 8), (number, 0, 200 * (number % 2))).save(folder / f"{number}.png")
        photo, title = f"{number}.png" if number % 5 else "", f"a {category} thing" if number % 7 else ""
        lines.append(f"{photo},{title},{category}")
    (folder / "products.csv").write_text("\n".join(lines) + "\n")
    (config,) = blocks("yaml")
    (folder / "shop_max.yaml").write_text(config)
    return folder


@pytest.fixture(scope="module")
def mmsdk(installed: Path, desk: Path) -> Run:
    """The command line in a process that has the plugin, or has it not."""

    def run(*arguments: str, plugin: bool = True) -> subprocess.CompletedProcess[str]:
        environment = os.environ | ({"PYTHONPATH": str(installed)} if plugin else {})
        command = [sys.executable, "-m", "mmsdk", *arguments]
        return subprocess.run(command, cwd=desk, env=environment, capture_output=True, text=True, timeout=120)

    return run


def answer(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_it_is_found_with_its_distribution(mmsdk: Run) -> None:
    found = {plugin["prefix"]: plugin for plugin in answer(mmsdk("plugins", "--json"))["plugins"]}
    assert found["demo"]["fusions"] == ["demo.max"]
    assert (found["demo"]["distribution"], found["demo"]["version"]) == ("mmsdk-demo", "0.1.0")
    assert (found["demo"]["state"], found["demo"]["reason"]) == ("loaded", None)


def test_it_is_in_the_schema(mmsdk: Run) -> None:
    every = answer(mmsdk("schema"))["$defs"].values()
    # By its type: the core has a class of the same name.
    (declared,) = (each for each in every if each.get("properties", {}).get("type", {}).get("const") == "demo.max")
    assert declared["description"].startswith("The largest value")


def test_it_trains_and_is_missed_where_it_is_not_installed(mmsdk: Run) -> None:
    trained = answer(mmsdk("train", "shop_max.yaml", "--set", "training.epochs=2", "--json"))
    assert "test/category/accuracy" in trained["metrics"]
    (result,) = answer(mmsdk("predict", trained["run"], "title=a garden thing", "--json"))["results"]
    assert result["category"]["value"] in ("garden", "office")
    missed = mmsdk("predict", trained["run"], "title=a garden thing", plugin=False)
    assert missed.returncode == 1
    assert "pip install mmsdk-demo" in missed.stderr and "Traceback" not in missed.stderr


def test_it_keeps_the_promises_of_a_fusion(installed: Path, tmp_path: Path) -> None:
    """The test of docs/testing_a_plugin.md, as it stands there."""
    test, _ = re.findall(
        r"^```python\n(.*?)^```", (DOCS / "testing_a_plugin.md").read_text(encoding="utf-8"), re.M | re.S
    )
    (tmp_path / "test_max.py").write_text(test)
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "test_max.py"]
    environment = os.environ | {"PYTHONPATH": str(installed)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout
    assert int(re.findall(r"(\d+) passed", done.stdout)[0]) >= 25
