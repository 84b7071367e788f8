"""Read a pipeline config from YAML; errors carry file, line and column.

YAML 1.2, so `no` is text and `1e-3` a number. Duplicate keys, aliases, deep nesting and huge files are refused.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mmsdk.config import CommandLineText, PipelineConfig
from mmsdk.errors import ConfigError, listed

MAX_BYTES = 1_000_000
MAX_DEPTH = 32


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
    if isinstance(source, str | Path):
        path = Path(source)
        tree, folder, name = read_yaml(path), path.absolute().parent, str(source)
    else:
        plain = source.model_dump(mode="python") if isinstance(source, PipelineConfig) else dict(source)
        tree, folder, name = plain, None, "config"
    for override in overrides:
        _override(tree, override)
    try:
        return PipelineConfig.model_validate(tree, context={"folder": folder})
    except ValidationError as error:
        raise ConfigError("\n".join(_explained(error, tree, name))) from None
    except RecursionError:
        raise ConfigError(f"{name}: nested too deeply") from None


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, with the places of its keys.

    Raises:
        ConfigError: not readable, not YAML 1.2, not a mapping, or with duplicate keys or aliases.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    text = _text(path)
    yaml = YAML(typ="rt", pure=True)
    try:
        _refuse_bombs(yaml, text, path)
        tree = yaml.load(io.StringIO(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        problem = (error.problem or "not YAML").split("\n")[0]
        raise ConfigError(f"{path}{where}: {problem}") from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"{path}: not YAML: {str(error).splitlines()[0] if str(error) else 'nested too deeply'}"
        ) from None
    if not isinstance(tree, dict):
        raise ConfigError(
            f"{path}: expected a mapping with the keys 'streams' and 'heads', found {type(tree).__name__}"
        )
    return tree


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_BYTES:,} bytes; is this a pipeline config?")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None


def _refuse_bombs(yaml: Any, text: str, path: Path) -> None:
    from ruamel.yaml.events import (
        AliasEvent,
        MappingEndEvent,
        MappingStartEvent,
        SequenceEndEvent,
        SequenceStartEvent,
    )

    depth = 0
    for event in yaml.parse(io.StringIO(text)):
        mark = event.start_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}"
        if isinstance(event, AliasEvent):
            raise ConfigError(f"{where}: aliases (*name) are not supported: write the value out")
        if isinstance(event, MappingStartEvent | SequenceStartEvent):
            depth += 1
        elif isinstance(event, MappingEndEvent | SequenceEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise ConfigError(f"{where}: nested more than {MAX_DEPTH} levels deep")


def _override(tree: Any, override: str) -> None:
    """Set `a.b.0.c=value` in the tree. Keys on the way are made where they are missing."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    path, equals, text = override.partition("=")
    if not equals or not path:
        raise ConfigError(f"--set {override}: expected KEY=VALUE, such as training.epochs=5")
    try:
        value = YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError) as error:
        raise ConfigError(f"--set {override}: '{text}' is not YAML: {str(error).splitlines()[0]}") from None
    *parents, last = path.split(".")
    node = tree
    for key in parents:
        if isinstance(node, list):
            node = node[_place(node, key, override)]
        elif isinstance(node, dict):
            if not isinstance(node.get(key), dict | list):
                node[key] = {}
            node = node[key]
    if isinstance(node, list):
        node[_place(node, last, override)] = _typed(value)
    else:
        node[last] = _typed(value)


def _place(node: list[Any], key: str, override: str) -> int:
    """A stage is found by its name, anything else in a list by its number."""
    names = [item.get("name") if isinstance(item, dict) else None for item in node]
    if key in names:
        return names.index(key)
    if key.isdigit() and int(key) < len(node):
        return int(key)
    known = [name for name in names if name] or [*range(len(node))]
    raise ConfigError(f"--set {override}: there is no '{key}' in that list; there is {listed(known)}")


def _typed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_typed(item) for item in value]
    return CommandLineText(value) if isinstance(value, str) else value


def _explained(error: ValidationError, tree: Any, name: str) -> list[str]:
    """One line per problem: place in the file, place in the config, what is wrong, what was found."""
    lines = []
    for problem in error.errors(include_url=False, include_context=False):
        where, place = _locate(tree, problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "missing":
            message = "is missing"
        elif problem["type"] not in ("config", "unknown_component", "level", "slot"):
            message += f", found {_short(problem['input'])}"
        lines.append(f"{name}{place}: {where}: {message}" if where else f"{name}{place}: {message}")
    return list(dict.fromkeys(lines))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _locate(tree: Any, loc: tuple[int | str, ...]) -> tuple[str, str]:
    """(the dotted place as the user wrote it, ':line:column' or ''). What pydantic adds (union tags) is left out."""
    node: Any = tree
    keys: list[str] = []
    place = ""
    for key in loc:
        if _has(node, key):
            place = _mark(node, key) or place
        elif key is loc[-1] and isinstance(key, str) and key.isidentifier() and not isinstance(node, str):
            keys.append(key)  # a key that is missing: the place is its parent's
            break
        else:
            continue
        keys.append(str(key))
        node = node[key]
    return ".".join(keys), place


def _has(node: Any, key: int | str) -> bool:
    return key in node if isinstance(node, dict) else isinstance(node, list) and key in range(len(node))


def _mark(node: Any, key: Any) -> str:
    lines = getattr(node, "lc", None)
    if lines is None or not lines.data or key not in lines.data:
        return ""
    line, column = lines.data[key][:2]
    return f":{line + 1}:{column + 1}"
