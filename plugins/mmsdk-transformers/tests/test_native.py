"""Libraries that are installed and broken, and what is said when transformers fails because of them.

In processes of their own: transformers remembers what it found.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmsdk import PluginError
from mmsdk_transformers import native

from .test_clip import config

FAILURES = {
    "torchaudio": "raise OSError('libcudart.so.13: cannot open shared object file')",
    "torchvision": "raise RuntimeError('operator torchvision::nms does not exist')",
}
PROGRAM = """
import mmsdk, numpy as np, sys
from mmsdk_transformers.native import broken
pipeline = mmsdk.Pipeline.from_config(sys.argv[1])
found = pipeline.embed({"image": np.zeros((40, 40, 3), np.uint8), "caption": "a dog"})
print(sorted(broken().items()), bool(found["image"].any() and found["caption"].any()))
"""


def test_clip_works_beside_broken_libraries(clip: Path, tmp_path: Path) -> None:
    for name, code in FAILURES.items():
        (tmp_path / "broken" / name).mkdir(parents=True)
        (tmp_path / "broken" / name / "__init__.py").write_text(code)
    tree = config(clip)
    tree["streams"]["caption"]["encoder"]["lora"] = {"rank": 2}  # peft looks in the same way
    (tmp_path / "pipeline.yaml").write_text(json.dumps(tree))
    path = os.pathsep.join([str(tmp_path / "broken"), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "pipeline.yaml")],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    reasons = {"torchaudio": "OSError: libcudart", "torchvision": "RuntimeError: operator torchvision::nms"}
    assert all(f"('{name}', '{reason}" in done.stdout for name, reason in reasons.items())
    assert done.stdout.endswith("True\n")


def test_a_failure_names_the_broken_library_and_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "broken", lambda: {"torchaudio": "OSError: libcudart.so.13: cannot open"})
    with pytest.raises(PluginError) as caught, native.explained("CLIPModel"):
        raise ModuleNotFoundError("Could not import module 'CLIPModel'")
    assert str(caught.value) == (
        "transformers cannot import CLIPModel, because torchaudio cannot be imported (torchaudio: OSError: "
        "libcudart.so.13: cannot open). Remove what does not fit the installed torch: pip uninstall torchaudio; or "
        "install a build that does."
    )


def test_other_failures_stay_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "broken", dict)
    with pytest.raises(ModuleNotFoundError, match="CLIPModel"), native.explained("CLIPModel"):
        raise ModuleNotFoundError("Could not import module 'CLIPModel'")


def test_what_is_hidden_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.util import find_spec

    monkeypatch.setitem(sys.modules, "torchaudio", native)  # some module stands in
    with native._hidden({"torchaudio": "no"}):
        assert find_spec("torchaudio") is None
    assert sys.modules["torchaudio"] is native
