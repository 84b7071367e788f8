"""The JSON Schema of a pipeline config, for editors and checks."""

from __future__ import annotations

from typing import Any

from mmsdk.config import PipelineConfig
from mmsdk.plugins import Plugin, registry


def pipeline_schema(only: list[Plugin] | None = None) -> dict[str, Any]:
    """The schema with every installed component, or with those of some plugins."""
    here = registry()
    kept = here.plugins
    here.plugins = kept if only is None else only
    try:
        schema = PipelineConfig.model_json_schema(by_alias=True)
    finally:
        here.plugins = kept
    for definition in schema["$defs"].values():
        if "const" in definition.get("properties", {}).get("type", {}):
            definition["required"] = sorted({"type", *definition.get("required", [])})
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
