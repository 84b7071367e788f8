"""`mmsdk doctor`: what is there, what is broken, and what to do about it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mmsdk.plugins.doctor import examine
from mmsdk.plugins.native import LIBRARIES, probe


def doctor(folder: Path, **variables: str) -> tuple[int, dict[str, Any]]:
    environment = os.environ | {"PYTHONPATH": str(folder)} | variables
    command = [sys.executable, "-P", "-m", "mmsdk", "doctor", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, cwd=folder)
    return done.returncode, json.loads(done.stdout)


def broken(folder: Path, name: str, code: str) -> None:
    """Install a library whose import does this."""
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(code)
    metadata = folder / f"{name}-9.9.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 9.9\n")


def test_it_tells_versions_devices_and_plugins(tmp_path: Path) -> None:
    code, told = doctor(tmp_path)
    assert {"python", "mmsdk", "torch", "pydantic", "accelerate"} <= set(told["versions"])
    assert told["devices"]["accelerator"] and told["devices"]["processors"] == str(os.cpu_count())
    assert ("mmsdk-fusion", "loaded") in [(plugin["distribution"], plugin["state"]) for plugin in told["plugins"]]
    assert {each["name"] for each in told["native"]} == set(LIBRARIES)
    assert code == bool(told["problems"])


def test_a_library_that_is_not_installed_is_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LIBRARIES, "nosuchlibrary", ("nosuchlibrary", "nothing is used in its place"))
    found = probe("nosuchlibrary")
    assert (found.state, found.mend) == ("absent", "") and "nothing is used in its place" in found.reason


@pytest.mark.faults("F12")
@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("torchvision", "raise RuntimeError('operator torchvision::nms does not exist')", "torchvision::nms"),
        ("torchaudio", "raise OSError('libtorchaudio.so: undefined symbol')", "undefined symbol"),
        ("torchcodec", "import os; os.abort()", "SIGABRT"),
    ],
)
def test_a_broken_library_is_explained_with_the_mend(name: str, code: str, says: str, tmp_path: Path) -> None:
    broken(tmp_path, name, code)
    status, told = doctor(tmp_path)
    (problem,) = (problem for problem in told["problems"] if problem.startswith(f"{name}:"))
    assert status == 1 and says in problem and f"pip uninstall {name}" in problem and "9.9" in problem


@pytest.mark.parametrize("inside", ["__init__.py", "mmdatasdk/__init__.py"])
def test_another_package_of_this_name_is_seen(inside: str, tmp_path: Path) -> None:
    other = tmp_path / "mmsdk" / inside
    other.parent.mkdir(parents=True)
    other.write_text("")
    found = examine_in(tmp_path)
    assert [problem for problem in found if str(tmp_path / "mmsdk") in problem and "rename or remove" in problem]


def examine_in(folder: Path) -> list[str]:
    """The problems as seen from a folder."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        return examine(30.0).problems
    finally:
        os.chdir(before)


def test_a_switch_that_names_nothing_is_told(tmp_path: Path) -> None:
    status, told = doctor(tmp_path, MMSDK_DISABLE_PLUGINS="fusoin,speech,mmsdk-retrieval")
    assert status == 1 and "MMSDK_DISABLE_PLUGINS names 'fusoin'" in "".join(told["problems"])
    assert not [name for name in ("speech", "retrieval") if name in "".join(told["problems"])]
