"""The package: commands without components, found by mmsdk without an import; a README whose commands exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from typer.main import get_command

import mmsdk_retrieval
from mmsdk.cli import app

README = Path(__file__).parent.parent / "README.md"
COMMANDS = ["classify", "index", "search", "unindex"]


def test_help_costs_no_torch() -> None:
    code = f"""
import sys
from mmsdk.cli import app
for name in {COMMANDS}:
    try:
        app([name, "--help"])
    except SystemExit as ended:
        assert ended.code == 0
print("torch" in sys.modules)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert ended.stdout.splitlines()[-1] == "False", ended.stderr
    assert ended.stdout.count("Usage: mmsdk ") == 4


def test_help_lists_the_commands(cli: Callable[..., Any]) -> None:
    listed = cli("--help").stdout
    assert all(re.search(rf"^  {name} +\(from mmsdk-retrieval\)$", listed, re.M) for name in COMMANDS)


def test_the_public_names_can_be_imported() -> None:
    for name in mmsdk_retrieval.__all__:
        assert getattr(mmsdk_retrieval, name).__doc__
    assert sorted(mmsdk_retrieval.__all__) == sorted(mmsdk_retrieval._HOME)
    assert not hasattr(mmsdk_retrieval, "Indx")


def test_the_commands_of_the_readme_exist_with_these_options() -> None:
    group: Any = get_command(app)
    lines = [
        line
        for block in re.findall(r"^```sh\n(.*?)^```", README.read_text(), re.M | re.S)
        for line in block.replace("\\\n", " ").splitlines()
        if line.startswith("mmsdk ")
    ]
    assert {line.split()[1] for line in lines} >= set(COMMANDS)
    for line in lines:
        name, *words = shlex.split(line)[1:]
        commands = {point: f"mmsdk_retrieval.commands.{point}" for point in COMMANDS}
        if name in commands:
            module = __import__(commands[name], fromlist=["app"])
            get_command(module.app).make_context(name, words)
        else:
            group.get_command(group.make_context("mmsdk", [name]), name).make_context(name, words)
