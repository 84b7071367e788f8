"""What stands nowhere in the source: ways to run, to import or to fetch what somebody else has written."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.tally import Tally

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*ROOT.glob("mmsdk/**/*.py"), *ROOT.glob("plugins/*/mmsdk_*/**/*.py"), *ROOT.glob("docs/*.py")])
MODULES = {"pickle", "cPickle", "_pickle", "joblib", "dill", "cloudpickle", "shelve", "marshal", "yaml", "requests"}
MODULES |= {"urllib.request", "http.client", "ftplib", "telnetlib", "xmlrpc"}
CALLS = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "tempfile.mktemp", "input",
    "torch.hub.load", "torch.jit.load", "tarfile.extractall", "zipfile.extractall", "shutil.unpack_archive",
}  # fmt: skip
ATTRIBUTES = {"extractall", "register_for_checkpointing", "load_state", "unpack_archive"}
"""Methods, whoever has them. accelerate unpickles in the second and the third."""
DYNAMIC = {
    "mmsdk/__init__.py": "names of its own",
    "mmsdk/metrics/torchmetrics.py": "packages of its own list",
    "mmsdk/plugins/registry.py": "entry points of installed packages",
    "plugins/mmsdk-diffusion/mmsdk_diffusion/__init__.py": "names of its own",
    "plugins/mmsdk-retrieval/mmsdk_retrieval/__init__.py": "names of its own",
    "plugins/mmsdk-serve/mmsdk_serve/__init__.py": "names of its own",
    "plugins/mmsdk-transformers/mmsdk_transformers/native.py": "packages of its own list",
}
"""Where a module is imported by a name that is not written out, and where that name comes from."""
OWN_PROGRAM = "mmsdk/export/folder.py"
"""Opens a program of torch.export: the one that it has written a moment ago, to check it."""


def name_of(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def findings(tree: ast.AST, place: str = "") -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from (f"imports {name}" for name in names if MODULES & {name, name.partition(".")[0]})
        elif isinstance(node, ast.Call):
            yield from _of_call(node, place)


def _of_call(node: ast.Call, place: str) -> Iterator[str]:
    name, last = name_of(node.func), name_of(node.func).rpartition(".")[2]
    given = {each.arg: each.value for each in node.keywords}
    if name in CALLS or last in ATTRIBUTES:
        yield f"calls {name}"
    if name == "torch.load" and not _is(given.get("weights_only"), True):
        yield "torch.load without weights_only=True"
    if name == "torch.export.load" and place != OWN_PROGRAM:
        yield "torch.export.load"
    if name in ("np.load", "numpy.load", "np.lib.format.read_array") and not _is(given.get("allow_pickle"), False):
        yield f"{name} without allow_pickle=False"
    if last == "import_module" and not (node.args and isinstance(node.args[0], ast.Constant)) and place not in DYNAMIC:
        yield "import_module of a name that is not written out"
    for argument, wanted in {"shell": False, "trust_remote_code": False, "allow_pickle": False}.items():
        if argument in given and not _is(given[argument], wanted):
            yield f"{argument}={ast.unparse(given[argument])}"


def _is(node: ast.expr | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


@pytest.mark.faults("A10")
def test_nothing_of_it_is_in_the_source(tally: Tally) -> None:
    for path in SOURCES:
        place = path.relative_to(ROOT).as_posix()
        with tally.case(place):
            assert list(findings(ast.parse(path.read_text(encoding="utf-8")), place)) == []
    assert tally.tried > 200


def test_exceptions_are_still_needed() -> None:
    for place in [*DYNAMIC, OWN_PROGRAM]:
        assert list(findings(ast.parse((ROOT / place).read_text(encoding="utf-8")))) != [], place


@pytest.mark.parametrize(
    "bad",
    [
        "import pickle",
        "from joblib import load",
        "import urllib.request",
        "eval('1')",
        "exec(text)",
        "__import__(name)",
        "os.system('ls')",
        "subprocess.run(command, shell=True)",
        "subprocess.run(command, shell=shell)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=safe)",
        "torch.export.load(path)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "import yaml",
        "tar.extractall(folder)",
        "importlib.import_module(config.target)",
        "import_module(f'{name}')",
        "AutoModel.from_pretrained(name, trust_remote_code=trusted)",
        "accelerator.load_state(folder)",
    ],
)
def test_each_of_it_would_be_found(bad: str) -> None:
    assert list(findings(ast.parse(bad))) != []


@pytest.mark.parametrize(
    "good",
    [
        "torch.load(path, weights_only=True)",
        "np.load(path, allow_pickle=False)",
        "import_module('torchaudio')",
        "AutoModel.from_pretrained(name, trust_remote_code=False)",
        "model.eval()",
        "re.compile('a')",
    ],
)
def test_what_is_right_is_let_pass(good: str) -> None:
    assert list(findings(ast.parse(good))) == []
