"""Load a pipeline config: from a YAML file, a mapping or a config, with values that were typed on the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mmsdk.config.pipeline import PipelineConfig, up_to_date
from mmsdk.config.problems import Keys, explained, shown
from mmsdk.errors import CheckpointError, ConfigError, listed
from mmsdk.fields import CommandLineText


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
    typed: list[Keys] = []
    try:
        tree, folder, name = _tree(source)
        tree = up_to_date(tree)  # before the overrides, which are of this version
        typed += [_override(tree, each) for each in ([overrides] if isinstance(overrides, str) else overrides)]
        return PipelineConfig.model_validate(tree, context={"folder": folder})
    except ValidationError as error:
        raise ConfigError("\n".join(explained(error, tree, name, typed))) from None
    except RecursionError:
        raise ConfigError("config: nested too deeply") from None


def saved_config(tree: Any, path: Path) -> PipelineConfig:
    """The config that this or an older version has written into a file.

    Raises:
        CheckpointError: it is of a newer one, or is none at all.
    """
    try:
        return PipelineConfig.model_validate(tree)
    except ValidationError as error:
        raise CheckpointError(explained(error, tree, str(path), ())[0]) from None
    except RecursionError:
        raise CheckpointError(f"{path}: damaged: nested too deeply") from None


def _tree(source: str | Path | Mapping[str, Any] | PipelineConfig) -> tuple[dict[str, Any], Path | None, str]:
    """What is to be validated, the folder that its paths are relative to, and what errors call it."""
    if isinstance(source, str | Path):
        from mmsdk.config.yaml_file import read_yaml

        return read_yaml(Path(source)), Path(source).absolute().parent, str(source)
    if isinstance(source, PipelineConfig):
        return source.model_dump(), None, "config"
    if isinstance(source, Mapping):
        return _copied(source), None, "config"
    raise ConfigError(f"config: expected a path, a mapping or a PipelineConfig, found {shown(source)}")


def _copied(value: Any) -> Any:
    """The mappings and lists of a tree anew, so that overrides leave the caller's own alone; keys are text."""
    if isinstance(value, Mapping):
        return {str(key): _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list | tuple) else value


def _override(tree: dict[str, Any], override: str) -> Keys:
    """Set `a.b.0.c=value` in the tree; keys on the way are made where they are missing. Returns the first new key."""
    from mmsdk.config.yaml_file import parse_yaml

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
            raise ConfigError(f"--set {override}: '{where}' is {shown(node)}, which has no '{part}'")
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
