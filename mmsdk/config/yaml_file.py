"""Read YAML that anybody may have written. What comes back knows the line and column of each key.

YAML 1.2, so `no` is text and `1e-3` a number. Refused, each with its place: aliases, tags, directives, duplicate keys,
deep nesting, and more than a pipeline config can ever need. Keys are text, and so are dates.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, ComposerError
from ruamel.yaml.constructor import ConstructorError, RoundTripConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, ScalarEvent
from ruamel.yaml.nodes import MappingNode
from ruamel.yaml.tag import Tag

from mmsdk.errors import ConfigError, no_such_file

MAX_BYTES = 200_000
MAX_VALUES = 10_000
MAX_DEPTH = 32
ADVICE = {
    r"'\t'": "indent with spaces",
    "<block end>": "the indentation does not fit the lines above",
    "mapping values are not allowed": "put text with a colon in quotes, and check the indentation",
    "another document": "remove the line '---'",
    "cannot start any token": "put the text in quotes",
}
TEXT = Tag(suffix="tag:yaml.org,2002:str")
NOT_TEXT = {f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "map", "seq")}


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        ConfigError: not readable, not YAML 1.2, not a mapping, or with something that is refused.
    """
    tree = parse_yaml(_text(path), str(path))
    if not isinstance(tree, dict):
        found = "nothing" if tree is None else "a list" if isinstance(tree, list) else "a single value"
        raise ConfigError(f"{path}: expected a mapping with the keys 'streams' and 'heads', found {found}")
    return tree


def parse_yaml(text: str, name: str) -> Any:
    """The value that a YAML text stands for; an error begins with `name`.

    Raises:
        ConfigError: not YAML 1.2, or with something that is refused.
    """
    yaml = YAML(typ="rt", pure=True)
    yaml.Composer, yaml.Constructor = _PlainTrees, _Placed
    try:
        return yaml.load(io.StringIO(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise ConfigError(f"{name}{where}: {_problem(error)}") from None
    except YAMLError as error:  # a character that YAML does not allow
        raise ConfigError(f"{name}: not YAML: {str(error).splitlines()[0]}") from None


def _problem(error: MarkedYAMLError) -> str:
    """What is wrong, in one line, with advice where the parser's own words do not help."""
    problem = str(error.problem or error.context or "not YAML").splitlines()[0]
    return problem + next((f": {advice}" for words, advice in ADVICE.items() if words in problem), "")


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(no_such_file(path)) from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_BYTES:,} bytes; is this a pipeline config?")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not a text file (UTF-8); is this a pipeline config?") from None


class _PlainTrees(Composer):
    """Composes nothing but mappings with text as keys, lists, text, numbers, booleans and null."""

    values = nesting = 0

    def compose_document(self) -> Any:
        event = self.parser.peek_event()
        if event.version or event.tags:
            raise _refused(event, "directives (%YAML, %TAG) are not supported: remove the line")
        return super().compose_document()

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.parser.peek_event()
        is_key = isinstance(parent, MappingNode) and index is None
        self.values += 1
        self.nesting += 1
        if isinstance(event, AliasEvent) or event.anchor is not None:
            raise _refused(event, "anchors (&name) and aliases (*name) are not supported: write the value out")
        if event.ctag is not None:
            raise _refused(event, f"tags ({event.ctag}) are not supported: write the plain value")
        if is_key and not isinstance(event, ScalarEvent):
            raise _refused(event, "a key must be text, not a list or a mapping")
        if self.nesting > MAX_DEPTH:
            raise _refused(event, f"nested more than {MAX_DEPTH} levels deep")
        if self.values > MAX_VALUES:
            raise _refused(event, f"more than {MAX_VALUES:,} values; is this a pipeline config?")
        node = super().compose_node(parent, index)
        if is_key or node.tag not in NOT_TEXT:
            node.ctag = TEXT
        self.nesting -= 1
        return node


class _Placed(RoundTripConstructor):
    """Says where a number stands that cannot be one, such as one of 5,000 digits."""

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, IndexError):
            raise ConstructorError(None, None, "a number that cannot be read", node.start_mark) from None


def _refused(event: Any, problem: str) -> ComposerError:
    return ComposerError(None, None, problem, event.start_mark)
