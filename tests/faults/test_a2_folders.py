"""Whatever a stranger did to a folder: it opens as data or is refused; nothing runs, nothing is fetched."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults import folder_attacks
from tests.faults.folder_attacks import ATTACKS, Attack, title
from tests.faults.tally import Tally

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).parent / "programs" / "opening.py"
MEMORY = 200 * 2**20
"""Bytes that a folder may cost, of which the good ones are far below one."""


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder of each kind, made in a process of its own: what ONNX warns of is no business of this test."""
    for name in ("mmsdk_retrieval", "mmsdk_transformers", "transformers", "onnxruntime"):
        pytest.importorskip(name)
    parent = tmp_path_factory.mktemp("good")
    make = "import sys; from pathlib import Path; from tests.faults import folders; folders.make(Path(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", make, parent], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return {kind: parent / kind for kind in folder_attacks.KINDS}


def attacked(attack: Attack, good: dict[str, Path], parent: Path) -> Path:
    """A copy of the good folder, changed; beside it nothing but what the attack put there."""
    (parent / title(attack)).mkdir()
    folder = Path(shutil.copytree(good[attack.kind], parent / title(attack) / "folder"))
    attack.change(folder)
    for manifest in folder.rglob("MANIFEST.json"):
        folder_attacks.sealed(manifest.parent)
    return folder


def judged(attack: Attack, folder: Path, line: dict[str, object]) -> None:
    outcome = str(line["outcome"])
    assert not (folder.parent / "canary").exists(), "code ran"
    assert line["seen"] == []
    if attack.told is None:
        assert outcome == "as before"
    else:
        assert outcome.startswith("refused: ") and attack.told in outcome, outcome
    assert isinstance(line["gained"], int) and line["gained"] < MEMORY, f"{line['gained']:,} bytes"
    victim = folder.parent / "victim"
    assert not victim.exists() or any(victim.glob("kept*")), "files elsewhere were removed"


@pytest.mark.slow
@pytest.mark.faults("A2")
def test_folders_of_strangers(good: dict[str, Path], tmp_path: Path, tally: Tally) -> None:
    made = [attacked(attack, good, tmp_path) for attack in ATTACKS]
    job = {"good": {kind: str(path) for kind, path in good.items()}}
    pairs = [[attack.kind, str(folder)] for attack, folder in zip(ATTACKS, made, strict=True)]
    (tmp_path / "job.json").write_text(json.dumps(job | {"attacked": pairs}))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, PROGRAM, tmp_path / "job.json"], env=environment, capture_output=True, text=True, timeout=500
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"outcome"')]
    for place, (attack, folder) in enumerate(zip(ATTACKS, made, strict=True)):
        with tally.case(title(attack)):
            assert place < len(lines), f"the process died: {done.stderr[-500:]}"
            judged(attack, folder, lines[place])
            tally.figure("slowest", lines[place]["seconds"])
            tally.figure("megabytes", lines[place]["gained"] / 2**20)


def test_the_attacks_would_be_seen(tmp_path: Path) -> None:
    """The pickles run where somebody unpickles them, and the hook tells of all that it should tell of."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "evil").write_bytes(folder_attacks.program(tmp_path / "folder"))
    (tmp_path / "secret").write_text("")
    code = f"""
import sys
sys.path.insert(0, {str(PROGRAM.parent)!r})
import watch
looking = watch.Watch(["watch"], secret="secret")
import importlib, os, socket, subprocess
with looking.looking() as seen:
    getattr(importlib.import_module("pick" + "le"), "load")(open({str(tmp_path / "evil")!r}, "rb"))
    open({str(tmp_path / "written")!r}, "w").close()
    open({str(tmp_path / "secret")!r}).close()
    os.close(os.open({str(tmp_path / "written")!r}, os.O_RDWR))
    socket.socket().connect_ex(("127.0.0.1", 9))
    subprocess.run([sys.executable, "-c", ""])
    import pytest
print(*[each.partition(" ")[0] for each in seen])
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert (tmp_path / "canary").exists()
    wanted = ["pickle.find_class", "os.system", "writes", "opens", "writes", "socket.connect", "subprocess.Popen"]
    assert [each for each in told if each in wanted][: len(wanted)] == wanted and "imports" in told
