"""docs/tutorial.md, typed along: every block in order, and what it prints."""

from __future__ import annotations

import io
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from tests.pages import DOCS, Block, all_blocks

PAGE = DOCS / "tutorial.md"
PORT = "8000"


class Reader:
    """Somebody who types a page's blocks into a shell and a Python prompt, both in one folder."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = str(probe.getsockname()[1])
        self.folder = folder
        self.names: dict[str, Any] = {"__name__": "tutorial"}
        self.printed = ""
        self.servers: list[subprocess.Popen[str]] = []

    def read(self, block: Block) -> None:
        code = block.code.replace(PORT, self.port)
        if block.language == "python":
            with redirect_stdout(io.StringIO()) as printed:
                exec(compile(code, block.place, "exec", dont_inherit=True), self.names)
            self.printed = printed.getvalue()
        elif block.language == "sh" and code.rstrip().endswith("&"):
            self._serve(code.rstrip().rstrip("&"))
        elif block.language == "sh":
            done = subprocess.run(["bash", "-e"], input=code, capture_output=True, text=True, timeout=500, env=_env())
            assert done.returncode == 0, f"{block.place}: {done.stderr}"
            self.printed = done.stdout
        else:
            missing = [line for line in block.code.splitlines() if shape(line) not in set(map(shape, self._lines()))]
            assert not missing, f"{block.place}: not in\n{self.printed}"

    def _lines(self) -> list[str]:
        return self.printed.splitlines()

    def _serve(self, command: str) -> None:
        log = self.folder / "server.log"
        with log.open("w") as file:
            self.servers.append(subprocess.Popen(["bash", "-c", f"exec {command}"], stderr=file, text=True, env=_env()))
        for _ in range(600):
            if "serving" in log.read_text() or self.servers[-1].poll() is not None:
                break
            time.sleep(0.2)
        assert "serving" in log.read_text(), log.read_text()


def _env() -> dict[str, str]:
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def shape(line: str) -> str:
    """A line without what differs between machines: figures and bars."""
    return " ".join(re.sub(r"[\d.,+−-]+", "#", re.sub("[█▏▎▍▌▋▊▉─]", "", line)).split())


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    monkeypatch.chdir(tmp_path)
    reader = Reader(tmp_path)
    yield reader
    for server in reader.servers:
        server.send_signal(signal.SIGTERM)
        server.wait(60)


@pytest.mark.slow
@pytest.mark.long
def test_the_tutorial_does_what_it_says(reader: Reader) -> None:
    read = all_blocks(PAGE)
    assert {"python", "sh", "text"} == {block.language for block in read}
    for block in read:
        reader.read(block)


def test_another_output_is_noticed(reader: Reader) -> None:
    reader.read(Block("python", "", "page:1", "print('accuracy 0.93')\nprint('done')"))
    reader.read(Block("text", "", "page:5", "accuracy 0.91\n"))
    with pytest.raises(AssertionError, match="page:9"):
        reader.read(Block("text", "", "page:9", "recall 0.93\n"))
    with pytest.raises(AssertionError, match="page:12"):
        reader.read(Block("sh", "", "page:12", "mmsdk validate nowhere.yaml\n"))
