"""The JSON Schema of a pipeline config, for editors and checks."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmsdk.config.pipeline import PipelineConfig
from mmsdk.errors import PluginError
from mmsdk.plugins.looking import key_of, run_alone
from mmsdk.plugins.registry import Plugin, registry


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
            if "description" in part:  # which editors then show beside the name
                part["properties"]["type"]["description"] = part["description"].partition("\n\n")[0]
        for mapping in part["properties"].values():
            if "patternProperties" in mapping:  # names of streams and heads; pydantic leaves other ones open
                mapping["additionalProperties"] = False
    for name, what in (("DataConfig", "file"), ("InitFrom", "run")):
        path = {"type": "string", "format": "path", "description": f"the {what}, where nothing else is to be said"}
        schema["$defs"][name] = {"anyOf": [path, schema["$defs"][name]]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def schema_of(plugins: Sequence[Plugin], deadline: float) -> tuple[dict[str, Any], list[str]]:
    """The schema with the components of some plugins, made in a process of its own, like any look at them; and why
    plugins are not in it that do not get on with the others.

    Raises:
        PluginError: that process did not come to a good end.
    """
    with tempfile.TemporaryDirectory(prefix="mmsdk-") as folder:
        text, output = Path(folder) / "schema.json", Path(folder) / "output"
        program = "from mmsdk.config.schema import write; write()"
        ending = run_alone(["-c", program, str(text), *map(key_of, plugins)], deadline, output)
        if ending.code != 0:
            raise PluginError(f"the process that made the schema {ending.words}: `mmsdk plugins` tells more")
        made = json.loads(text.read_text(encoding="utf-8"))
        return made["schema"], made["left_out"]


def write() -> None:
    """The child: write the schema of the plugins that are asked for."""
    path, *keys = sys.argv[1:]
    asked = [plugin for plugin in registry().plugins if key_of(plugin) in keys]
    made = {"schema": pipeline_schema(asked), "left_out": [plugin.reason for plugin in asked if plugin.reason]}
    Path(path).write_text(json.dumps(made), encoding="utf-8")
    os._exit(0)  # threads that a plugin has started may not hold us up


def _objects(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (part for part in [schema, *schema["$defs"].values()] if "properties" in part)
