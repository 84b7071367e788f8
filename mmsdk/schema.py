"""The JSON Schema of a pipeline config, for editors and checks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmsdk.config import PipelineConfig
from mmsdk.plugins import Plugin, registry


def pipeline_schema(only: list[Plugin] | None = None) -> dict[str, Any]:
    """The schema with every installed component, or with those of some plugins."""
    here = registry()
    kept = here.plugins, here.local
    if only is not None:
        here.plugins, here.local = only, {kind: {} for kind in here.local}
    try:
        schema = PipelineConfig.model_json_schema()
    finally:
        here.plugins, here.local = kept
    for part in _objects(schema):
        if "const" in part["properties"].get("type", {}):
            part["required"] = sorted({"type", *part.get("required", [])})
        for mapping in part["properties"].values():
            if "patternProperties" in mapping:  # names of streams and heads; pydantic leaves other ones open
                mapping["additionalProperties"] = False
    path = {"type": "string", "format": "path", "description": "the file, where nothing else is to be said"}
    schema["$defs"]["DataConfig"] = {"anyOf": [path, schema["$defs"]["DataConfig"]]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _objects(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (part for part in [schema, *schema["$defs"].values()] if "properties" in part)
