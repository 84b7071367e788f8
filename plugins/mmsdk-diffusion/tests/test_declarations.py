"""What a config may say, and what is told of what it may not; the package."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

import mmsdk
import mmsdk_diffusion

from .conftest import CONFIG, HEAD, built, drawer


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prediction": "v", "sampling": {"scheduler": "euler"}}, "euler and flow need each other"),
        ({"sampling": {"scheduler": "ddim"}}, "'scheduler: ddim' does not go with 'prediction: flow'"),
        ({"drop": 0}, "'drop: 0' leaves nothing to guide away from: give 'guidance: 0'"),
        ({"network": {"type": "unet", "channels": [6], "heads": 4}}, "4 heads cannot share 6 channels evenly"),
        ({"network": {"type": "unit"}}, "unit"),
        ({"network": {"type": "mlp", "depth": 3}}, "network.depth: Extra inputs are not permitted"),
        ({"target": {"column": "picture", "modality": {"type": "number"}}}, "takes targets of kind 'pixels'"),
        ({"target": None}, "target"),
        ({"metrics": ["fid"]}, "takes no more metrics than its own: remove 'fid'"),
        ({"sampling": {"guidance": -3}}, "greater than or equal to -1"),
    ],
)
def test_mistakes_in_a_config_are_told(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(mmsdk.ConfigError, match=message):
        mmsdk.load_config({**CONFIG, "heads": {"drawn": {**HEAD, **changes}}})


def test_pictures_that_cannot_be_halved_so_often_are_refused() -> None:
    with pytest.raises(mmsdk.ConfigError, match="sides that are multiples of 8, and the target's are 4 and 4"):
        built(network={"type": "unet", "channels": [4, 4, 4], "heads": 2, "patch": 2})


def test_the_scheduler_follows_from_what_is_told() -> None:
    assert drawer(built()).sampling.scheduler == "euler"
    assert drawer(built(prediction="epsilon")).sampling.scheduler == "ddim"


def test_help_costs_no_torch() -> None:
    code = """
import sys
from mmsdk.cli import app
try:
    app(["generate", "--help"])
except SystemExit as ended:
    assert ended.code == 0
print("torch" in sys.modules, "diffusers" in sys.modules)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert ended.stdout.splitlines()[-1] == "False False", ended.stderr
    assert "Usage: mmsdk generate" in ended.stdout


def test_declaring_costs_no_diffusers() -> None:
    code = "import sys, mmsdk_diffusion.plugin; print([n for n in ('torch', 'diffusers', 'PIL') if n in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert ended.stdout == "[]\n", ended.stderr


def test_the_public_names_can_be_imported() -> None:
    assert all(getattr(mmsdk_diffusion, name).__doc__ for name in mmsdk_diffusion.__all__)
    assert sorted(mmsdk_diffusion.__all__) == sorted(mmsdk_diffusion._HOME)
    assert not hasattr(mmsdk_diffusion, "generated")
