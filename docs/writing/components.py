"""docs/components.md and a page for each component, of the core and of the plugins in this repository."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

from mmsdk.components import EncoderConfig, FusionConfig, HeadConfig, ModalityConfig, TargetConfig
from mmsdk.formats import Format, Source
from mmsdk.plugins.registry import Plugin, Registry
from writing.examples import as_yaml, pipeline
from writing.fields import fields, nested

PLUGINS = Path(__file__).parent.parent.parent / "plugins"
HEADER = """# Components

Written by `docs/write_reference.py` from the config classes; do not edit. Here are those of the core and of the plugins
in this repository; `mmsdk plugins` lists what is installed on your machine, and `mmsdk schema` gives their fields as a
JSON Schema for your editor. A name with a dot belongs to the plugin of that prefix.
"""
INTRODUCTIONS = {
    "modality": "## Modalities\n\nA modality reads raw values, and gives [a kind of tensors](kinds.md).",
    "encoder": "## Encoders\n\nAn encoder takes a modality whose kind is among those that it reads.",
    "fusion": (
        "## Fusions\n\nFeature level: `fusion: {type: ...}`. Decision level: a head's `decision: {type: ...}`. "
        "Which to take: [fusion.md](fusion.md).\n\n"
        "What happens where a stream is absent:\n\n"
        "- `exact`: as if that stream were not there.\n"
        "- `independent`: what stands in the absent slot does not matter.\n"
        "- `imputed`: something learned or computed stands in.\n"
        "- `unsupported`: every stream must be there."
    ),
    "head": "## Heads\n\nA head is a task: a loss, predictions, metrics.",
}
FOLDERS = {"modality": "modalities", "encoder": "encoders", "fusion": "fusions", "head": "heads"}
COLUMNS = {
    "modality": ["gives", "a target, too"],
    "encoder": ["reads"],
    "fusion": ["level", "absence"],
    "head": ["target", "main metric"],
}
LOADED = {"transformers.language_model"}
"""Heads that cannot be built without the files of a model; their metrics stand in the description."""


def component_pages(folder: Path) -> dict[Path, str]:
    """The index, and a page for each component."""
    found = [(plugin, kind, own) for plugin in ours() for kind, own in plugin.components.items()]
    pages = {
        _path(folder, kind, name): page(component, plugin)
        for plugin, kind, own in found
        for name, component in own.items()
    }
    return {folder / "components.md": index(), **pages}


def ours() -> list[Plugin]:
    """The core's own plugin, and those of this repository."""
    here = {"mmsdk", *(path.name for path in PLUGINS.iterdir())}
    plugins = [plugin for plugin in Registry().plugins if plugin.distribution in here]
    for plugin in plugins:
        plugin.load()
    return plugins


def index() -> str:
    """docs/components.md."""
    parts = [HEADER]
    for kind, introduction in INTRODUCTIONS.items():
        parts.append(introduction)
        titles = ["type", *COLUMNS[kind], ""]
        rows = [f"| {' | '.join(titles)} |", "| --- " * len(titles) + "|"]
        for plugin in ours():
            for name, each in plugin.components[kind].items():
                about = _first_sentence(each).replace("|", "\\|")
                cells = [f"[`{name}`](components/{FOLDERS[kind]}/{name}.md)", *_columns(each), about]
                rows.append(f"| {' | '.join(cells)} |")
        parts.append("\n".join(rows))
        if kind == "head":
            parts.append("### What every head takes")
            parts.append(fields(HeadConfig))
            parts.append("A target with a modality of your choice is a mapping:")
            parts.append(fields(TargetConfig))
    return _joined(parts)


def page(component: Any, plugin: Plugin) -> str:
    """The page of one component."""
    name, kind = component.type_name(), component.kind
    readme = f"../../../plugins/{plugin.distribution}/README.md"
    origin = f"from [{plugin.distribution}]({readme})" if plugin.prefix else "built in"
    head = kind == "head"
    shared = set(HeadConfig.model_fields) if head else set()
    note = "Beside these it takes what [every head takes](../../components.md#what-every-head-takes)."
    table = fields(component, {"type", *shared})
    parts = [
        f"# `{name}`",
        f"{'An' if kind == 'encoder' else 'A'} {kind}, {origin}.",
        _described(component),
        facts(component),
        table or "It has no fields of its own.",
        *nested(component),
        note if head else "",
        "## A pipeline with it",
        f"```yaml\n{as_yaml(pipeline(component))}\n```",
    ]
    how = implementation(component)
    if how is not None and inspect.getdoc(how):
        parts += ["## How it works", _plain(inspect.cleandoc(how.__doc__ or ""))]
    parts.append("[All components](../../components.md)")
    return _joined(parts)


def implementation(component: Any) -> type[Any] | None:
    """The class that `build` imports and returns; None where it makes something else."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(component.build)))
    imported = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Return) and isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Name):
            module, name = imported.get(node.value.func.id, (None, ""))
            made = getattr(import_module(module), name) if module else None
            return made if isinstance(made, type) else None
    return None


def facts(component: Any) -> str:
    """What the declaration says beside its fields."""
    if issubclass(component, ModalityConfig):
        return f"Gives `{component.gives}`." + (" Can be a target." if component.targets else "")
    if issubclass(component, EncoderConfig):
        return f"Reads {_listed(component.reads)}."
    if issubclass(component, FusionConfig):
        contextual = " Heads can read `fused.<stream>`." if component.contextual else ""
        return f"{component.level.capitalize()} level. Absence: `{component.absence}`.{contextual}"
    target = component.target_modality
    sources = {"one": "one source", "several": "two sources or more", "any": "one source or more"}
    decision = "; with a `decision`, several" if component.scoring else ""
    wants = f"Target: a `{target}`" + ("" if component.needs_target else ", if any") if target else "No target"
    measured = f" Metrics: {_listed(metrics(component))}." if component.type_name() not in LOADED else ""
    return f"Reads {sources[component.sources]}{decision}. {wants}.{measured}"


def _columns(component: Any) -> list[str]:
    """The cells of the index between name and description."""
    if issubclass(component, ModalityConfig):
        return [f"`{component.gives}`", "yes" if component.targets else ""]
    if issubclass(component, EncoderConfig):
        return [_listed(component.reads)]
    if issubclass(component, FusionConfig):
        return [component.level, component.absence]
    main = metrics(component)[:1] if component.type_name() not in LOADED else []
    return [f"`{component.target_modality}`" if component.target_modality else "", _listed(main)]


def metrics(component: type[HeadConfig]) -> list[str]:
    """The metrics of a head, the main one first."""
    target = Format(component.target_modality or "", width=1, vocabulary=2, sizes=(8, 8))
    column = "column" if component.needs_target and component.target_modality else None
    reads = ["fused.one"] if component.sources == "one" else ["one", "other", "fused"]
    sources = {name: Source(4, 4, Format("tokens", vocabulary=5)) for name in reads}
    head = component(target=column, reads=reads).build(sources, target if component.target_modality else None)
    return list(head.metrics())


def _described(component: Any) -> str:
    return inspect.cleandoc(component.__doc__ or "")


def _first_sentence(component: Any) -> str:
    return _described(component).partition("\n\n")[0].replace("\n", " ")


def _plain(text: str) -> str:
    """A docstring as Markdown: what looks like markup outside backticks is none."""
    return "".join(
        part if place % 2 else re.sub(r"([*_\[\]<>#|])", r"\\\1", part)
        for place, part in enumerate(re.split("(`+[^`]+`+)", text))
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _path(folder: Path, kind: str, name: str) -> Path:
    return folder / "components" / FOLDERS[kind] / f"{name}.md"


def _joined(parts: Iterable[str]) -> str:
    return "\n\n".join(part.strip() for part in parts if part) + "\n"
