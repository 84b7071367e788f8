"""What is public, as tests/public_api.txt has it: names with their signatures, commands with their options, hooks.

Run as a program (`uv run poe api`), this file writes that snapshot anew; the difference shows what a change means for
those who use mmsdk.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import mmsdk
import mmsdk.testing
from mmsdk import hookspecs
from mmsdk.cli import app
from mmsdk.plugins.registry import HOOKS

SNAPSHOT = Path(__file__).parent / "public_api.txt"


def describe() -> str:
    parts = {"mmsdk": _names(mmsdk), "mmsdk.testing": _names(mmsdk.testing), "hooks": _hooks(), "commands": _commands()}
    return "\n".join(f"# {title}\n\n" + "\n".join(lines) + "\n" for title, lines in parts.items())


def _names(module: Any) -> Iterator[str]:
    return (line for name in module.__all__ for line in _described(name, getattr(module, name)))


def _hooks() -> Iterator[str]:
    return (f"{name}{_signature(getattr(hookspecs, name))}" for name in HOOKS.values())


def _commands() -> Iterator[str]:
    group: Any = get_command(app)
    for name, command in sorted(group.commands.items()):
        yield f"mmsdk {name} {_options(command)}".rstrip()
        for inner, each in sorted(getattr(command, "commands", {}).items()):
            yield f"mmsdk {name} {inner} {_options(each)}".rstrip()


def _options(command: Any) -> str:
    """Arguments in their order, then options by name; in brackets what may be left out. docs/cli.md has the values."""
    shown = [
        (each.opts[0].startswith("-"), "/".join([*each.opts, *each.secondary_opts]), each.required)
        for each in command.params
    ]
    arguments = [(name.upper(), needed) for option, name, needed in shown if not option]
    options = sorted((name, needed) for option, name, needed in shown if option)
    return " ".join(name if needed else f"[{name}]" for name, needed in [*arguments, *options])


def _described(name: str, value: Any) -> Iterator[str]:
    if inspect.isclass(value):
        yield f"class {name}({', '.join(base.__name__ for base in value.__bases__)})"
        members: dict[str, str] = {}
        for home in value.__mro__:  # of the bases, those that have no entry of their own
            if home is value or (home.__module__.startswith("mmsdk.") and home.__name__ not in mmsdk.__all__):
                members = {**dict(_members(home)), **members}
        promises = {each for each in members if each.startswith("test_")}  # of contracts: a version may add some
        yield from (f"    {line}" for each, line in members.items() if each not in promises)
    elif inspect.isfunction(value):
        yield f"def {name}{_signature(value)}"
    else:
        yield f"{name}: {type(value).__name__}"


def _members(home: type) -> Iterator[tuple[str, str]]:
    fields = getattr(home, "model_fields", {})
    defaults = getattr(home, "_field_defaults", home.__dict__)
    for name, annotation in inspect.get_annotations(home).items():
        if not name.startswith("_"):
            shown = getattr(annotation, "__forward_arg__", annotation)
            optional = name in defaults or (name in fields and not fields[name].is_required())
            yield name, f"{name}: {shown}{' = ...' if optional else ''}"
    for name, member in home.__dict__.items():
        function = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        if isinstance(member, property):
            yield name, f"property {name}"
        elif inspect.isfunction(function) and (not name.startswith("_") or _written_init(function, home)):
            yield name, f"def {name}{_signature(function)}"


def _written_init(function: Any, home: type) -> bool:
    """Whether it is an `__init__` that somebody wrote, not one that a dataclass or a protocol got."""
    return function.__name__ == "__init__" and bool(function.__code__.co_filename == inspect.getfile(home))


def _signature(function: Callable[..., Any]) -> str:
    return str(inspect.signature(function)).replace("'", "")


def test_names_are_sorted_and_importable() -> None:
    assert mmsdk.__all__ == sorted(mmsdk.__all__, key=lambda name: (not name.isupper(), name))
    assert set(mmsdk.__all__) == set(mmsdk._MODULES) == set(dir(mmsdk))
    for name in mmsdk.__all__:
        assert getattr(mmsdk, name) is not None


def test_type_checkers_see_the_same_names() -> None:
    import ast

    tree = ast.parse(Path(mmsdk.__file__).read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    homes = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert homes == mmsdk._MODULES


def test_an_unknown_name_is_an_attribute_error() -> None:
    try:
        mmsdk.Pipelin  # noqa: B018
    except AttributeError as error:
        assert str(error) == "module 'mmsdk' has no attribute 'Pipelin'"
    else:
        raise AssertionError("mmsdk.Pipelin exists")


def test_names_and_signatures_are_those_of_the_snapshot() -> None:
    assert describe() == SNAPSHOT.read_text(encoding="utf-8"), "a public name changed: uv run poe api, and say why"


@pytest.mark.parametrize(("change", "line"), [
    (lambda patch: patch.setattr(mmsdk, "train", lambda config: None), "def train"),
    (lambda patch: patch.delattr(mmsdk.Pipeline, "embed"), "    def embed"),
    (lambda patch: patch.delitem(mmsdk.About.model_fields, "rows"), "    rows"),
    (lambda patch: patch.setattr(app, "registered_commands", app.registered_commands[1:]), "mmsdk quickstart"),
])  # fmt: skip
def test_a_change_shows(change: Callable[[pytest.MonkeyPatch], None], line: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        change(patch)
        now = describe().splitlines()
    lost = [each for each in SNAPSHOT.read_text(encoding="utf-8").splitlines() if each not in now]
    assert [each for each in lost if each.startswith(line)]


@pytest.mark.parametrize("module", [mmsdk, mmsdk.testing])
def test_every_public_class_and_function_is_explained(module: Any) -> None:
    plain = {name: getattr(module, name) for name in module.__all__}
    bare = [name for name, value in plain.items() if inspect.isclass(value) or inspect.isfunction(value)]
    assert [name for name in bare if not (plain[name].__doc__ or "").strip()] == []


def test_types_are_published() -> None:
    assert (Path(mmsdk.__file__).parent / "py.typed").is_file()


def test_importing_mmsdk_imports_no_torch(python: Callable[..., Any]) -> None:
    assert python("-c", "import mmsdk, sys; print('torch' in sys.modules)").stdout == "False\n"


if __name__ == "__main__":
    SNAPSHOT.write_text(describe(), encoding="utf-8")
