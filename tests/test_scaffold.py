"""`mmsdk plugins new`: what it writes is a sound plugin, as a wheel in an environment of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from mmsdk.errors import PluginError
from mmsdk.plugins.registry import Kind
from mmsdk.scaffold.plugin import SAMPLES, write_plugin

KINDS = get_args(Kind)


def run(*command: object, cwd: Path, **more: Any) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
    )
    if more.get("check", True):
        assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment of its own, which sees the packages of this one (torch is large) behind its own."""
    home = tmp_path_factory.mktemp("fresh")
    venv.create(home, with_pip=True)
    site = next(home.glob("lib/python*/site-packages"))
    (site / "outer.pth").write_text(f"import site; site.addsitedir({sysconfig.get_paths()['purelib']!r})\n")
    return home / "bin"


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_is_built_installed_tested_and_trained_with(kind: str, fresh: Path, tmp_path: Path) -> None:
    home = write_plugin(f"sample-{kind}", kind, tmp_path)
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", cwd=home)
    (wheel,) = (home / "dist").glob("*.whl")
    run(fresh / "pip", "install", "-q", "--no-index", "--no-deps", "--disable-pip-version-check", wheel, cwd=tmp_path)
    tests = run(fresh / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", home / "tests", cwd=tmp_path)
    assert int(re.findall(r"(\d+) passed", tests.stdout)[0]) >= 20 and "xfail" not in tests.stdout
    shown = json.loads(run(fresh / "python", "-P", "-m", "mmsdk", "plugins", "--json", cwd=tmp_path).stdout)["plugins"]
    (own,) = (plugin for plugin in shown if plugin["distribution"] == home.name)
    assert own["state"] == "loaded" and own["version"] == "0.1.0"
    file = run(fresh / "python", "-c", f"import mmsdk_sample_{kind} as own; print(own.__file__)", cwd=tmp_path).stdout
    assert str(fresh.parent) in file
    if kind == "head":  # the kind whose contract starts processes of its own
        told = run(fresh / "python", "-P", "-m", "mmsdk", "plugins", "check", home.name, "--json", cwd=tmp_path).stdout
        assert json.loads(told)["sound"] is True


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_is_well_formed(kind: str, tmp_path: Path) -> None:
    home = write_plugin("mmsdk-sample", kind, tmp_path)
    run(
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--isolated",
        "--line-length=120",
        "--select=E,F,I,B,UP,SIM",
        ".",
        cwd=home,
    )
    run(sys.executable, "-m", "ruff", "format", "--isolated", "--line-length=120", "--check", ".", cwd=home)
    files = {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file() and "_cache" not in str(path)}
    module = SAMPLES[kind].component
    assert files >= {
        f"tests/test_{module}.py",
        f"mmsdk_sample/{module}.py",
        "pyproject.toml",
        ".github/workflows/test.yml",
    }
    texts = [(home / name).read_text() for name in files]
    assert not [text for text in texts if re.search(r"\$\w|\$\{\w", text)]  # nothing was left to be filled in


@pytest.mark.parametrize("kind", KINDS)
def test_its_readme_declares_a_valid_part_of_a_config(kind: str, tmp_path: Path) -> None:
    text = (write_plugin("sample", kind, tmp_path) / "README.md").read_text()
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.S)
    assert f"sample.{SAMPLES[kind].component}" in block


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "no name"),
        ("9lives", "no name"),
        ("a b", "no name"),
        ("../evil", "no name"),
        ("class", "of Python's own"),
        ("speech", "belongs to mmsdk-speech"),
        ("taken", "is there already"),
    ],
)
def test_names_that_cannot_be_used(name: str, says: str, tmp_path: Path) -> None:
    write_plugin("taken", "fusion", tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(PluginError, match=says):
        write_plugin(name, "fusion", tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_command_says_what_comes_next(cli: Callable[..., Any], tmp_path: Path) -> None:
    done = cli("plugins", "new", "my-sign", "--kind", "head", "--out", tmp_path, "--json")
    told = json.loads(done.stdout)
    assert Path(told["plugin"]) == tmp_path / "mmsdk-my-sign" and "mmsdk_my_sign/focal.py" in told["files"]
    assert told["next"][-1] == "mmsdk plugins check mmsdk-my-sign"
    again = cli("plugins", "new", "my-sign", "--kind", "head", "--out", tmp_path)
    assert again.exit_code == 1 and "is there already" in again.stderr
    nowhere = cli("plugins", "new", "sign", "--kind", "head", "--out", "/proc/nowhere")
    assert nowhere.exit_code == 1 and "cannot be written" in nowhere.stderr
