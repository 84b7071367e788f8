"""The fields of a config class as a table, from its JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

SIGNS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
NAMES = {"integer": "whole number", "string": "text", "boolean": "true or false"}


def type_of(schema: Mapping[str, Any]) -> str:
    """What may stand in a field, in words, from its JSON Schema."""
    choices = schema.get("anyOf", schema.get("oneOf"))
    if choices is not None:
        return " or ".join(dict.fromkeys(type_of(each) for each in choices if each.get("type") != "null"))
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        slot = name.startswith("Any")  # any registered component of a kind
        return f"{name.removeprefix('Any').lower()}, `{{type: ...}}`" if slot else "mapping, see below"
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "prefixItems" in schema:
        return "[" + ", ".join(type_of(each) for each in schema["prefixItems"]) + "]"
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {type_of(schema['items'])}"
    if kind == "object":
        values = [*schema.get("patternProperties", {}).values(), schema.get("additionalProperties")]
        return f"name to {type_of(values[0])}" if isinstance(values[0], dict) else "mapping"
    bounds = [f"{sign} {schema[key]}" for key, sign in SIGNS.items() if key in schema]
    name = "path" if schema.get("format") == "path" else NAMES.get(kind, kind)
    return " ".join([name, ", ".join(bounds)]).strip()


def fields(owner: type[BaseModel], without: Iterable[str] = ()) -> str:
    """A table of the fields of a config class; nothing where there are none."""
    schema = owner.model_json_schema()
    whole = schema["$defs"].get(owner.__name__, schema) if "$ref" in schema else schema
    rows = []
    for name, field in owner.model_fields.items():
        if name in without:
            continue
        own = whole["properties"][name]
        default = "" if field.is_required() else _shown(own.get("default"))
        rows.append(f"| `{name}` | {type_of(own)} | {default} | {field.description or ''} |")
    return "\n".join(["| field | type | default | |", "| --- | --- | --- | --- |", *rows]) if rows else ""


def nested(component: type[BaseModel]) -> list[str]:
    """A heading and a table of each field that is a mapping of fields of its own."""
    mappings = {name: field.annotation for name, field in component.model_fields.items()}
    return [
        part
        for name, each in mappings.items()
        if isinstance(each, type) and issubclass(each, BaseModel)
        for part in (f"`{name}` holds:", fields(each))
    ]


def _shown(value: Any) -> str:
    """A default, as one would write it in YAML."""
    if value is None:
        return "none"
    if isinstance(value, dict) and value:
        return "as below"
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"
