"""Read a pipeline config and say what is wrong with it: file, line and column, place, problem, what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from mmsdk.config import PipelineConfig
from mmsdk.errors import ConfigError, listed
from mmsdk.fields import CommandLineText, Name

Keys = tuple[str | int, ...]
NAME_PATTERN = get_args(Name)[1].pattern
TOLD_IN_FULL = ("config", "component", "slot", "value_error")
EXPECTED = {
    "string": "text",
    "int": "a whole number",
    "float": "a number",
    "finite_number": "a finite number",
    "bool": "true or false",
    "list": "a list",
    "tuple": "a list",
    "dict": "a mapping",
    "model": "a mapping",
    "path": "a path",
}


def load_config(
    source: str | Path | Mapping[str, Any] | PipelineConfig, overrides: Sequence[str] = ()
) -> PipelineConfig:
    """A validated config from a YAML file, a mapping, or a config.

    Paths in a file are relative to the file's folder. `overrides` are `a.b.c=value` texts, with values in YAML;
    paths in them are relative to the current folder.

    Raises:
        ConfigError: every problem that was found, one a line, with file:line:column where there is a file.
    """
    if isinstance(source, PipelineConfig) and not overrides:
        return source
    tree: Any = source
    if isinstance(source, str | Path):
        from mmsdk.yaml_file import read_yaml

        path = Path(source)
        tree, folder, name = read_yaml(path), path.absolute().parent, str(source)
    else:
        if not isinstance(source, Mapping | PipelineConfig):
            raise ConfigError(f"config: expected a path, a mapping or a PipelineConfig, found {_short(source)}")
        tree = source.model_dump() if isinstance(source, PipelineConfig) else source
        folder, name = None, "config"
    try:
        tree = _copied(tree) if folder is None else tree
        typed = [_override(tree, override) for override in overrides]
        return PipelineConfig.model_validate(tree, context={"folder": folder})
    except ValidationError as error:
        raise ConfigError("\n".join(_explained(error, tree, name, typed))) from None
    except RecursionError:
        raise ConfigError(f"{name}: nested too deeply") from None


def _copied(value: Any) -> Any:
    """The mappings and lists of a tree anew, so that overrides leave the caller's own alone; keys are text."""
    if isinstance(value, Mapping):
        return {str(key): _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list | tuple) else value


def _override(tree: dict[str, Any], override: str) -> Keys:
    """Set `a.b.0.c=value` in the tree; keys on the way are made where they are missing. Returns the first new key."""
    from mmsdk.yaml_file import parse_yaml

    dotted, equals, text = override.partition("=")
    if not equals or not all(dotted.split(".")):
        raise ConfigError(f"--set {override}: expected KEY=VALUE, such as training.epochs=5")
    value = _typed(parse_yaml(text, f"--set {override}"))
    node: Any = tree
    keys: list[Any] = []
    made: Keys | None = None
    parts = dotted.split(".")
    for count, part in enumerate(parts, 1):
        if not isinstance(node, dict | list):
            where = ".".join(parts[: count - 1])
            raise ConfigError(f"--set {override}: '{where}' is {_short(node)}, which has no '{part}'")
        key: Any = _place(node, part, override) if isinstance(node, list) else part
        keys.append(key)
        if count == len(parts):
            node[key] = value
        elif isinstance(node, dict) and node.get(key) is None:
            node[key] = {}
            made = made or tuple(keys)
        node = node[key]
    return made or tuple(keys)


def _place(node: list[Any], key: str, override: str) -> int:
    """A stage is found by its name, anything else in a list by its number."""
    names = [item.get("name") if isinstance(item, dict) else None for item in node]
    if key in names:
        return names.index(key)
    if key.isdecimal() and len(key) < 10 and int(key) < len(node):
        return int(key)
    known = [name for name in names if name] or [*range(len(node))]
    raise ConfigError(f"--set {override}: there is no '{key}' in that list; there is {listed(known)}")


def _typed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_typed(item) for item in value]
    return CommandLineText(value) if isinstance(value, str) else value


def _explained(error: ValidationError, tree: Any, name: str, typed: Sequence[Keys]) -> list[str]:
    """One line per problem: place in the file or on the command line, place in the config, what is wrong."""
    found = [(_keys(tree, problem), problem) for problem in error.errors(include_url=False)]
    inner = {keys[:length] for keys, _ in found for length in range(len(keys))}
    expected: dict[Keys, list[str]] = {}  # what the branches of a union say of one value belongs together
    for keys, problem in found:
        if _kind(problem) in EXPECTED:
            expected.setdefault(keys, []).append(EXPECTED[_kind(problem)])
    lines = []
    for keys, problem in found:
        if problem["type"].endswith("_type") and keys in inner:
            continue  # another branch of a union took the value, and found something inside
        message = _message(problem, expected.get(keys, []))
        where = f"{'.'.join(map(str, keys))}: " if keys else ""
        if any(keys[: len(place)] == place for place in typed):
            lines.append(f"--set {where}{message}")
        else:
            lines.append(f"{name}{_mark(tree, keys)}: {where}{message}")
    return list(dict.fromkeys(lines))


def _kind(problem: Any) -> str:
    return str(problem["type"]).removesuffix("_type").removesuffix("_parsing").removesuffix("_from_float")


def _message(problem: Any, expected: Sequence[str]) -> str:
    kind, context = problem["type"], problem.get("ctx", {})
    if kind in TOLD_IN_FULL:
        return str(problem["msg"]).removeprefix("Value error, ")
    if kind == "missing":
        return "is missing"
    if expected and _kind(problem) in EXPECTED:
        text = f"should be {' or '.join(dict.fromkeys(expected))}"
    elif kind == "too_short":
        text = f"should have at least {context['min_length']} entry"
    elif kind == "string_pattern_mismatch" and context["pattern"] == NAME_PATTERN:
        text = "a name is made of lower-case letters, digits and underscores, and begins with a letter"
    else:
        text = str(problem["msg"]).replace("Input should", "should", 1)
    return f"{text}, found {_short(problem['input'])}"


def _short(value: Any) -> str:
    """A value as the user wrote it, more or less."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "nothing"}[value]
    if isinstance(value, Mapping | BaseModel):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    if isinstance(value, int) and abs(value) >= 10**18:
        return "a huge number"
    text = repr(str(value)) if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _keys(tree: Any, problem: Any) -> Keys:
    """The keys that lead to a problem, as the user wrote them: what pydantic adds (union tags) is left out."""
    node: Any = tree
    keys: list[str | int] = []
    for key in problem["loc"]:
        if _has(node, key):
            keys.append(key)
            node = node[key]
    last = problem["loc"][-1] if problem["loc"] else None
    if problem["type"] in ("missing", "config") and last is not None and last not in keys[-1:]:
        keys.append(last)  # a key that is not there, but should be, or has a default that does not fit
    return tuple(keys)


def _has(node: Any, key: int | str) -> bool:
    return key in node if isinstance(node, dict) else isinstance(node, list) and key in range(len(node))


def _mark(tree: Any, keys: Keys) -> str:
    """:line:column of the innermost of these keys that stands in the file; nothing where there is no file."""
    node, position = tree, getattr(tree, "lc", None)
    place = f":{position.line + 1}:{position.col + 1}" if position is not None else ""
    for key in keys:
        if not _has(node, key):
            break
        places = getattr(getattr(node, "lc", None), "data", None) or {}
        if key in places:
            line, column = places[key][:2]
            place = f":{line + 1}:{column + 1}"
        node = node[key]
    return place
