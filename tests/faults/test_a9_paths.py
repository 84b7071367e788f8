"""Names and paths from strangers: wherever one is taken, none leads out of where it belongs."""

from __future__ import annotations

import io
import json
import random
import tarfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

import mmsdk
from mmsdk.data.tar import TarTable
from mmsdk.errors import MmsdkError
from mmsdk.folders import verify_folder, write_folder
from tests.export import pipelines
from tests.faults.programs.watch import Watch
from tests.faults.tally import Tally

SECRET = "canary-secret"
SEEDS = [
    *(
        "..",
        "../",
        "../../{s}",
        "./../{s}",
        "a/../../{s}",
        "..//..//{s}",
        "....//{s}",
        "..;/{s}",
        "{a}",
        "//{a}",
        "/./{a}",
    ),
    *(
        "..\\{s}",
        "..\\..\\{s}",
        "a\\..\\..\\{s}",
        "\\\\evil.example\\share\\x",
        "//evil.example/share/x",
        "C:\\{s}",
        "C:{s}",
    ),
    *(
        "file://{a}",
        "file:///{a}",
        "http://evil.example/x",
        "https://evil.example/x",
        "ftp://evil.example/x",
        "data:,x",
    ),
    *(
        "\\\\?\\C:\\{s}",
        "~/{s}",
        "~root/{s}",
        "$HOME/{s}",
        "${{PWD}}/{s}",
        "%HOME%",
        "`cat {a}`",
        "$(cat {a})",
        "| cat {a}",
    ),
    *("\0", "x\0", "{a}\0", "x\n../{s}", "x\r\n{a}", "\x1b[31m", "\u202e{s}", "\uff0e\uff0e\uff0f{s}", "\u2025/{s}"),
    *("..\u2215{s}", "..\u2044{s}", "..%c0%af{s}", "..%252f{s}", "..%2f{s}", "%2e%2e/{s}", "%2e%2e%2f{s}", "..%5c{s}"),
    *(
        "CON",
        "NUL",
        "aux.txt",
        "x:stream",
        "-rf",
        "--help",
        ".",
        "...",
        " ",
        "",
        "a" * 300,
        "a/" * 2000,
        "é" * 200,
        "🙂",
    ),
    *("/dev/zero", "/dev/stdin", "/proc/self/environ", "/proc/self/fd/0", "link", "link/{s}", "loop", "loop/loop/{s}"),
]
"""{s}: the secret's name, {a}: its absolute path. `link` leads to it, `loop` to itself."""
ENDINGS = ("", "/", "\0.png", ".safetensors", "?x", "#x", "/.")
CODED: list[Callable[[str], str]] = [
    str,
    lambda text: quote(text, safe=""),
    lambda text: quote(quote(text, safe=""), safe=""),
]
Place = Callable[[str], None]


def corpus(parent: Path, count: int) -> Iterator[str]:
    """Each seed once as it is; then in other forms, the same ones each time."""
    filled = [seed.format(s=SECRET, a=parent / SECRET) for seed in SEEDS]
    yield from filled[:count]
    rng = random.Random(0)
    for _ in range(count - len(filled)):
        before = rng.choice(["", "", "x/", "./", "../" * rng.randrange(12)])
        yield rng.choice(CODED)(before + rng.choice(filled) + rng.choice(ENDINGS))


def refused() -> Any:
    return pytest.raises(MmsdkError)


def _own_file(aside: Path) -> None:
    (aside / "own").write_text("own")


def manifest(parent: Path, _stack: ExitStack) -> Place:
    """A name in a folder's manifest, with nobody's file behind it."""
    folder = write_folder(parent / "home" / "sealed", _own_file)
    right = json.loads((folder / "MANIFEST.json").read_text())["files"]

    def place(name: str) -> None:
        made = {"files": right | {name: {"size": 6, "sha256": "0" * 64}}}
        (folder / "MANIFEST.json").write_text(json.dumps(made))
        with refused():
            verify_folder(folder)

    return place


def names_in_a_config(_: Path, _stack: ExitStack) -> Place:
    """Streams, heads and stages give files their names; a type names a component."""

    def place(name: str) -> None:
        good = {"streams": {"words": pipelines.TEXT}, "heads": {"y": pipelines.LABEL}}
        with refused():
            mmsdk.load_config(good | {"streams": {name: pipelines.TEXT}})
        with refused():
            mmsdk.load_config(good | {"heads": {name: pipelines.LABEL}})
        with refused():
            mmsdk.load_config(good | {"stages": [{"name": name}]})
        with refused():
            mmsdk.load_config(good | {"streams": {"words": {"modality": {"type": name}, "encoder": {"type": name}}}})

    return place


def tar(parent: Path, _stack: ExitStack) -> Place:
    """The name of a member: it becomes an id, and is never a file."""

    def place(name: str) -> None:
        shard = parent / "home" / "shard.tar"
        with tarfile.open(shard, "w", format=tarfile.PAX_FORMAT) as file:
            for kind, target in ((tarfile.REGTYPE, ""), (tarfile.SYMTYPE, name)):
                info = tarfile.TarInfo(name.encode("utf-8", "replace").decode() + ".txt")
                info.type, info.linkname, info.size = kind, target.replace("\0", ""), 4
                file.addfile(info, io.BytesIO(b"text"))
        with suppress(MmsdkError):
            table = TarTable(shard)
            assert not len(table), "a link was read"

    return place


def pretrained(parent: Path, _stack: ExitStack) -> Place:
    """Parts of a model's weights, and the revision of one on the hub."""
    source = pytest.importorskip("mmsdk_transformers.source")
    declarations = pytest.importorskip("mmsdk_transformers.declarations")
    folder = parent / "home" / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")

    def place(name: str) -> None:
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"x": name}}))
        with refused():
            source.ModelSource(str(folder)).weights()
        with suppress(ValueError):
            found = declarations.TokensConfig(model="some/model", revision=name).revision
            assert not found.startswith(("/", "-")) and ".." not in found.split("/"), found

    return place


def server(_: Path, stack: ExitStack) -> Place:
    """Columns, forms, files and addresses. What is a path stays text, or bytes that are no picture."""
    serve = pytest.importorskip("mmsdk_serve")
    from fastapi.testclient import TestClient

    picture = {"modality": {"type": "image", "size": 8}, "encoder": {"type": "cnn", "width": 8, "layers": 1}}
    own = pipelines.pipeline(pipelines.config(streams={"words": pipelines.TEXT, "picture": picture}))
    client = stack.enter_context(TestClient(serve.application({"shop": own}), raise_server_exceptions=False))
    predict = "/pipelines/shop/predict"

    def told(answer: Any) -> None:
        assert answer.status_code < 500 and "the secret itself" not in answer.text, answer.text
        if answer.status_code == 200 and answer.headers["content-type"] == "application/json":
            assert "error" in answer.json()["results"][0]

    def place(name: str) -> None:
        whole = name.encode("utf-8", "replace").decode()
        for value in (whole, {"path": whole}, [whole], [[whole]]):
            told(client.post(predict, json={"samples": [{"picture": value or "?"}]}))
        told(client.post(predict, json={"samples": [{whole: "x"}]}))
        told(client.post(predict, data={"picture": whole}))
        told(client.post(predict, files={"picture": (whole.replace("\0", "") or "x", b"no picture")}))
        address = quote(whole, safe="/%")[:2000]
        for path in (f"/pipelines/{address}/predict", f"/v2/models/{address}/infer"):
            assert client.post(path, json={}).status_code in (400, 404, 405, 422)
        answer = client.get(f"/{address.lstrip('/')}")
        assert answer.status_code < 500 and "the secret itself" not in answer.text

    return place


PLACES = [manifest, names_in_a_config, tar, pretrained, server]


@pytest.mark.slow
@pytest.mark.faults("A9")
def test_no_path_leads_out(tmp_path: Path, tally: Tally, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / SECRET).write_text("the secret itself")
    home = tmp_path / "home"
    home.mkdir()
    (home / "link").symlink_to(tmp_path / SECRET)
    (home / "loop").symlink_to(".")
    monkeypatch.chdir(home)
    before = {path for path in tmp_path.rglob("*") if "sealed" not in path.parts}
    watch = Watch(["mmsdk", "torch"], SECRET)
    with ExitStack() as stack:
        places = [make(tmp_path, stack) for make in PLACES]
        names = list(corpus(tmp_path, tally.size(300, 20_000)))
        for name in names:
            with tally.case(ascii(name)[:80]):
                for place in places:
                    with watch.looking() as seen:
                        place(name)
                    assert [each for each in seen if each.startswith(("opens", "socket.connect"))] == []
    own = {home / name for name in ("shard.tar", "model", "sealed")}
    after = {path for path in tmp_path.rglob("*") if "sealed" not in path.parts and path.parent != home / "model"}
    assert after - before - own == set()


def test_an_open_path_would_be_seen(tmp_path: Path) -> None:
    (tmp_path / SECRET).write_text("the secret itself")
    watch = Watch([], SECRET)
    with watch.looking() as seen:
        (tmp_path / SECRET).read_text()
    assert seen == [f"opens {tmp_path / SECRET}"]
