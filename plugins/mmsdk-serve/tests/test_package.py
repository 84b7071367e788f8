"""The package: a command found by mmsdk without an import; a README whose commands exist; public names."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

from typer.main import get_command

import mmsdk_serve
from mmsdk_serve.command import app

README = Path(__file__).parent.parent / "README.md"


def test_help_costs_no_torch_and_no_server() -> None:
    code = """
import sys
from mmsdk.cli import app
try:
    app(["serve", "--help"])
except SystemExit as ended:
    assert ended.code == 0
print([name for name in ("torch", "fastapi", "uvicorn") if name in sys.modules])
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert ended.stdout.splitlines()[-1] == "[]", ended.stderr
    assert "Usage: mmsdk serve " in ended.stdout


def test_the_public_names_can_be_imported() -> None:
    assert sorted(mmsdk_serve.__all__) == sorted(mmsdk_serve._HOME)
    assert all(getattr(mmsdk_serve, name).__doc__ for name in mmsdk_serve.__all__)


def test_the_commands_of_the_readme_exist_with_these_options() -> None:
    lines = re.findall(r"^mmsdk serve (.*)$", README.read_text(), re.M)
    assert len(lines) == 5
    for line in lines:
        get_command(app).make_context("serve", shlex.split(line))
