"""Looking at things costs no torch."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HEAVY = {"torch", "numpy", "PIL", "transformers", "accelerate", "tokenizers", "safetensors", "rich", "matplotlib"}
CONFIG = """\
streams:
  image: {modality: {type: image}, encoder: {type: cnn}}
  text: {modality: {type: text}, encoder: {type: bag}}
fusion: {type: fusion.compare}
heads: {answer: {type: classification, target: answer}}
"""
RUN = """
import json, sys
from mmsdk.cli import app
try:
    app(sys.argv[1:])
except SystemExit as ended:
    print(json.dumps({"code": ended.code, "modules": sorted(sys.modules)}), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "command", ["--help", "plugins", "plugins --json", "validate CONFIG", "schema", "train --help"]
)
def test_a_command_leaves_heavy_libraries_alone(python: Callable[..., Any], tmp_path: Path, command: str) -> None:
    (tmp_path / "pipeline.yaml").write_text(CONFIG)
    ended = python("-c", RUN, *command.replace("CONFIG", "pipeline.yaml").split(), cwd=tmp_path)
    told = json.loads(ended.stderr)
    assert told["code"] == 0 and ended.stdout
    assert HEAVY & set(told["modules"]) == set()
    if command == "--help":
        assert {"pydantic", "ruamel.yaml", "pluggy"} & set(told["modules"]) == set()
    if command.startswith("validate"):
        assert "mmsdk_fusion.plugin" in told["modules"]


def test_a_mistake_in_a_config_is_told_before_torch_is_imported(python: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text(CONFIG.replace("cnn", "bag"))
    ended = python("-c", RUN, "train", tmp_path / "pipeline.yaml")
    *message, told = ended.stderr.splitlines()
    assert "Encoder 'bag' reads 'tokens', but stream 'image' gives 'pixels'" in message[0]
    assert json.loads(told)["code"] == 1 and "torch" not in json.loads(told)["modules"]


def test_importing_mmsdk_imports_next_to_nothing(python: Callable[..., Any]) -> None:
    code = "import mmsdk, sys; print([n for n in sys.modules if n.startswith('mmsdk.')], {*sys.modules} & %r)"
    assert python("-c", code % HEAVY).stdout == "[] set()\n"


def test_public_names_without_torch_stay_without_it(python: Callable[..., Any]) -> None:
    code = "import sys; from mmsdk import EncoderConfig, Format, hookimpl, load_config, register; print('torch' in %s)"
    assert python("-c", code % "sys.modules").stdout == "False\n"
