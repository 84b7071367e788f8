"""The command line itself: how it answers, how it fails, and commands that plugins bring."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from mmsdk.cli import foreign, validate

CONFIG = """\
streams:
  image: {modality: {type: image}, encoder: {type: cnn}}
  text: {modality: {type: text}, encoder: {type: bag}}
  before: {shared_with: text}
fusion: {type: concat}
heads: {answer: {type: classification, target: answer}}
"""
COMMAND = """
    import typer
    from mmsdk import DataError

    app = typer.Typer(rich_markup_mode=None)

    @app.command()
    def mirror(folder: str, port: int = 80, fail: bool = False):
        '''Serve a pipeline.'''
        if fail:
            raise DataError(f"{folder}: nothing to serve")
        print(f"{folder} on {port}")
"""
Cli = Callable[..., Any]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "pipeline.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def bring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Installs a package that brings a command: `bring("mirror", code)`."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def brought(command: str, code: str = COMMAND, name: str = "test-serve", value: str = "") -> None:
        module = f"{name.replace('-', '_')}_commands"
        (tmp_path / f"{module}.py").write_text(dedent(code))
        metadata = tmp_path / f"{name}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[mmsdk.v1.commands]\n{command} = {value or f'{module}:app'}\n")
        foreign._found.cache_clear()

    yield brought
    foreign._found.cache_clear()
    for module in set(sys.modules) - before:
        if module.startswith("test_"):
            del sys.modules[module]


def test_validate_tells_what_it_understood(cli: Cli, config: Path) -> None:
    answered = cli("validate", config, "--set", "fusion=")
    assert answered.exit_code == 1
    assert f"error: {config}:6:9: heads.answer: There is no `fusion:` to read from." in answered.stderr
    answered = cli("validate", config, "--set", "fusion.type=mean")
    assert (answered.exit_code, answered.stderr) == (0, "")
    assert answered.stdout.splitlines() == [
        f"{config}: valid",
        "  image: image -> cnn",
        "  text: text -> bag",
        "  before: text -> bag",
        "  fusion: mean",
        "  answer: classification",
    ]


def test_validate_for_programs(cli: Cli, config: Path) -> None:
    assert json.loads(cli("validate", config, "--json").stdout) == {
        "valid": True,
        "config": str(config),
        "streams": {"image": "image -> cnn", "text": "text -> bag", "before": "text -> bag"},
        "fusion": "concat",
        "heads": {"answer": "classification"},
    }


def test_a_mistake_is_a_message_and_exit_code_1(cli: Cli, tmp_path: Path) -> None:
    refused = cli("validate", tmp_path / "ü.yaml")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr == f"error: {tmp_path / 'ü.yaml'}: there is no such file\n"
    refused = cli("validate", tmp_path / "ü.yaml", "--json")
    assert json.loads(refused.stdout) == {"error": f"{tmp_path / 'ü.yaml'}: there is no such file"}


def test_a_wrong_command_line_is_exit_code_2(cli: Cli, config: Path) -> None:
    assert cli("validate", config, "--sett", "a=b").exit_code == 2
    refused = cli("vlidate", config)
    assert refused.exit_code == 2 and "No such command 'vlidate'. Did you mean 'validate'" in refused.stderr


def test_ctrl_c_says_how_to_go_on(cli: Cli, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(validate, "answer", interrupted)
    stopped = cli("validate", config)
    assert stopped.exit_code == 130
    assert "A training run goes on from its last checkpoint with --resume." in stopped.stderr


def test_a_reader_that_has_gone_is_no_traceback() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "mmsdk", "schema"]
    ended = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, timeout=60)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (141, b"")


def test_help_lists_our_commands_and_those_of_plugins(cli: Cli, bring: Callable[..., None]) -> None:
    bring("mirror", "raise SystemExit('nobody called this command')")
    lines = cli("--help").stdout.partition("Commands:\n")[2].splitlines()
    listed = {line.split()[0]: line for line in lines}
    ours = [
        "quickstart",
        "new",
        "validate",
        "schema",
        "data",
        "train",
        "evaluate",
        "explain",
        "report",
        "compare",
        "predict",
        "embed",
        "export",
        "push",
        "doctor",
        "plugins",
    ]
    assert list(listed)[: len(ours)] == ours
    assert {"mirror", "index", "search", "unindex"} <= set(list(listed)[len(ours) :])
    assert listed["mirror"].endswith("(from test-serve)") and listed["search"].endswith("(from mmsdk-retrieval)")
    assert "test_serve_commands" not in sys.modules


def test_packages_with_nothing_but_commands_are_listed(
    cli: Cli, bring: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    bring("mirror", "raise SystemExit('nobody called this command')")
    plugins = {each["distribution"]: each for each in json.loads(cli("plugins", "--json").stdout)["plugins"]}
    nothing = {"modalities": [], "encoders": [], "fusions": [], "heads": []}
    origin = {"prefix": None, "distribution": "test-serve", "version": "1.0", "api": "v1"}
    assert plugins["test-serve"] == {**origin, "state": "found", "reason": None, **nothing, "commands": ["mirror"]}
    assert plugins["mmsdk-retrieval"]["commands"] == ["classify", "index", "search", "unindex"]
    assert plugins["mmsdk-fusion"]["commands"] == [] and plugins["mmsdk-fusion"]["state"] == "loaded"
    monkeypatch.setenv("MMSDK_DISABLE_PLUGINS", "test-serve")
    assert cli("plugins").stdout.endswith(
        "test-serve 1.0 (API v1): disabled\n  test-serve is switched off by MMSDK_DISABLE_PLUGINS\n  commands: mirror\n"
    )
    assert "brings commands and no components" in cli("plugins", "check", "test-serve").stderr


class TestForeignCommands:
    def test_get_all_their_arguments(self, cli: Cli, bring: Callable[..., None]) -> None:
        bring("mirror")
        served = cli("mirror", "runs/a", "--port", "8000")
        assert (served.exit_code, served.stdout) == (0, "runs/a on 8000\n")
        assert "Serve a pipeline." in cli("mirror", "--help").stdout
        assert cli("mirror").exit_code == 2

    def test_fail_like_ours(self, cli: Cli, bring: Callable[..., None]) -> None:
        bring("mirror")
        refused = cli("mirror", "runs/a", "--fail")
        assert (refused.exit_code, refused.stderr) == (1, "error: runs/a: nothing to serve\n")

    @pytest.mark.parametrize(
        ("code", "value", "reason"),
        [
            ("import no_such_module", "", "ModuleNotFoundError: No module named 'no_such_module'"),
            ("raise SystemExit(3)", "", "SystemExit: 3"),
            ("x = 1", "", "AttributeError: module 'test_serve_commands' has no attribute 'app'"),
            ("app = 5", "", "AttributeError: 'int' object has no attribute"),
            ("", "no_such_module:app", "ModuleNotFoundError: No module named 'no_such_module'"),
        ],
    )
    def test_that_cannot_be_loaded_say_why(
        self, cli: Cli, bring: Callable[..., None], code: str, value: str, reason: str
    ) -> None:
        bring("mirror", code, value=value)
        refused = cli("mirror")
        assert refused.exit_code == 1
        assert refused.stderr.startswith(f"error: command 'mirror' of test-serve cannot be loaded: {reason}")

    def test_of_two_plugins_exclude_each_other(self, cli: Cli, bring: Callable[..., None]) -> None:
        bring("mirror", name="test-one")
        bring("mirror", name="test-two")
        assert cli("mirror", "a").stderr == (
            "error: 'test-one', 'test-two' both bring the command 'mirror': uninstall one of them\n"
        )

    def test_do_not_replace_ours(self, cli: Cli, bring: Callable[..., None], config: Path) -> None:
        bring("validate")
        assert cli("validate", config).stdout.startswith(f"{config}: valid\n")


@pytest.mark.parametrize("command", [["-m", "mmsdk"], ["-c", "from mmsdk.cli import main; main()"]])
def test_as_a_program(python: Callable[..., Any], command: list[str], config: Path) -> None:
    ended = python(*command, "validate", config, "--json")
    assert (ended.returncode, json.loads(ended.stdout)["valid"], ended.stderr) == (0, True, "")
    ended = python(*command, "validate", config.parent)
    assert (ended.returncode, ended.stdout) == (1, "") and ended.stderr.startswith(f"error: {config.parent}: cannot")
