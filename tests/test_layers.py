"""Which module may import what. A layer knows those below it, never those above."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = [
    *(ROOT / "mmsdk").rglob("*.py"),
    *(path for path in ROOT.glob("plugins/*/*/**/*.py") if path.relative_to(ROOT).parts[2] != "tests"),
]

# What is imported together with a module, beside the standard library: this and nothing else.
ONLY = {
    "mmsdk": "",
    "mmsdk.errors": "",
    "mmsdk.deprecations": "",
    "mmsdk.migrations": "",
    "mmsdk.formats": "",
    "mmsdk.plugins.metadata": "",
    "mmsdk.proposal": "",
    "mmsdk.hookspecs": "pluggy",
    "mmsdk.plugins.registry": "mmsdk.errors mmsdk.plugins.metadata",
    "mmsdk.slots": "pydantic pydantic_core mmsdk.errors mmsdk.fields mmsdk.plugins.registry",
    "mmsdk.fields": "pydantic pydantic_core mmsdk.errors",
    "mmsdk.components": "pydantic typing_extensions mmsdk.fields mmsdk.formats mmsdk.slots",
    "mmsdk.config.balance": "pydantic pydantic_core mmsdk.errors mmsdk.fields",
    "mmsdk.config.data": "pydantic mmsdk.errors mmsdk.fields",
    "mmsdk.config.training": "pydantic mmsdk.config.balance mmsdk.config.data mmsdk.errors mmsdk.fields",
    "mmsdk.config.pipeline": "pydantic mmsdk.components mmsdk.config.balance mmsdk.config.card mmsdk.config.data "
    "mmsdk.config.training mmsdk.errors mmsdk.fields mmsdk.migrations",
    "mmsdk.config.card": "pydantic mmsdk.fields",
    "mmsdk.config.wiring": "mmsdk.config.balance mmsdk.errors mmsdk.formats mmsdk.plugins.registry",
    "mmsdk.config.problems": "pydantic mmsdk.fields",
    "mmsdk.config.file": "pydantic mmsdk.config.pipeline mmsdk.errors mmsdk.config.problems mmsdk.fields",
    "mmsdk.config.yaml_file": "ruamel mmsdk.errors",
    "mmsdk.config.schema": "mmsdk.config.pipeline mmsdk.errors mmsdk.plugins.looking mmsdk.plugins.registry",
    "mmsdk.plugins.looking": "mmsdk.errors mmsdk.plugins.metadata mmsdk.plugins.registry",
    "mmsdk.pipeline.building": "mmsdk.components mmsdk.errors mmsdk.plugins.registry",
    "mmsdk.config.resolution": "pydantic mmsdk.components",
    "mmsdk.containers": "torch",
    "mmsdk.interfaces": "torch numpy mmsdk.containers mmsdk.formats",
    "mmsdk.builtin.plugin": "mmsdk.builtin.declarations mmsdk.components mmsdk.hookspecs",
    "mmsdk.builtin.declarations.*": "pydantic pydantic_core mmsdk.builtin.declarations mmsdk.components "
    "mmsdk.errors mmsdk.fields mmsdk.formats mmsdk.proposal",
    "mmsdk.testing*": (
        "pytest torch numpy pydantic safetensors mmsdk.plugins.checking mmsdk.components mmsdk.containers mmsdk.errors "
        "mmsdk.cache.keys mmsdk.cache.store mmsdk.folders mmsdk.formats mmsdk.interfaces mmsdk.plugins.registry "
        "mmsdk.training.processes mmsdk.proposal mmsdk.testing"
    ),
    "mmsdk.cli.*": "typer mmsdk.cli mmsdk.errors mmsdk.plugins.metadata",  # the rest is imported when a command runs
}
# What a module never imports, not even inside a function. `!` exempts modules.
NEVER = {
    "mmsdk.builtin.* !mmsdk.builtin.declarations.* !mmsdk.builtin.plugin": (
        "pydantic pluggy mmsdk.components mmsdk.config.pipeline mmsdk.fields mmsdk.plugins.registry"
    ),
    "mmsdk.* !mmsdk.builtin.*": "mmsdk.builtin",
    "mmsdk.* !mmsdk.training.accelerating": "accelerate",
    "mmsdk.* !mmsdk.testing*": "mmsdk.testing pytest",
    "* !mmsdk.cli* !mmsdk.__main__": "mmsdk.cli",
    "*": "pickle dill joblib",
}


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[2:] if parts[0] == "plugins" else parts).removesuffix(".__init__")


def imports(path: Path, inside_functions: bool) -> Iterator[str]:
    """Dotted names; of `from a import b` both a and a.b, as b may be a module. Not what is for type checks alone."""
    nodes: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, f"{path}: relative import"
            yield from (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            nodes += node.orelse
        elif inside_functions or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            nodes += ast.iter_child_nodes(node)


def within(name: str, packages: str) -> bool:
    return any(f"{name}.".startswith(f"{package}.") for package in packages.split())


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_module_imports_what_its_layer_may(path: Path) -> None:
    module = name_of(path)
    for pattern, allowed in ONLY.items():
        if fnmatch(module, pattern):
            names = {name for name in imports(path, False) if name.partition(".")[0] not in sys.stdlib_module_names}
            assert {name for name in names if name != "mmsdk" and not within(name, allowed)} == set()
    for patterns, banned in NEVER.items():
        chosen, *exempt = patterns.replace("!", "").split()
        if fnmatch(module, chosen) and not any(fnmatch(module, pattern) for pattern in exempt):
            assert {name for name in imports(path, True) if within(name, banned)} == set()


@pytest.mark.parametrize("path", [path for path in MODULES if name_of(path).partition(".")[0] != "mmsdk"], ids=name_of)
def test_plugins_use_the_public_names(path: Path) -> None:
    import mmsdk

    public = {f"mmsdk.{name}" for name in mmsdk.__all__}
    own = {name for name in imports(path, True) if within(name, "mmsdk") and not within(name, "mmsdk.testing")}
    assert own - public <= {"mmsdk"}


def test_the_rules_speak_of_modules_that_exist() -> None:
    modules = {name_of(path) for path in MODULES}
    assert all(any(fnmatch(module, pattern) for module in modules) for pattern in ONLY)
    assert len(modules) > 60 and "mmsdk_fusion.plugin" in modules
