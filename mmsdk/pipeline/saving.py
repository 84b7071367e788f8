"""A saved pipeline: one folder that needs nothing else.

pipeline.json       the fully resolved config, the plugins it needs with versions, metrics
model.safetensors   the weights
modalities.*        what modalities learned: vocabularies, labels, statistics
README.md           the model card
MANIFEST.json       sizes and sha256 of the above
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model

from mmsdk import migrations
from mmsdk.config.file import saved_config
from mmsdk.config.pipeline import PipelineConfig
from mmsdk.config.resolution import components
from mmsdk.errors import KNOWN_PLUGINS, CheckpointError, PluginError, listed
from mmsdk.fields import first_problem
from mmsdk.folders import (
    MANIFEST,
    entries_of,
    entry,
    load_tree,
    read_json,
    save_tree,
    standing,
    verify_folder,
    write_folder,
)
from mmsdk.pipeline.about import About, SubsetFigures
from mmsdk.pipeline.card import model_card
from mmsdk.pipeline.modalities import Modalities
from mmsdk.pipeline.pipeline import Pipeline
from mmsdk.pipeline.weighing import require_weight
from mmsdk.plugins.registry import registry

FORMAT = migrations.newest(migrations.SAVED)
HEADER, WEIGHTS, CARD = "pipeline.json", "model.safetensors", "README.md"
LOADED = (HEADER, WEIGHTS, "modalities.json", "modalities.safetensors")
"""The files that are checked before they are read; others, such as an edited model card, may change."""
FILES = (*LOADED, CARD, MANIFEST)


def save(pipeline: Pipeline, folder: Path) -> Path:
    """Write the pipeline to a folder; one that stood there is replaced only once the new one is whole.

    Raises:
        CheckpointError: the folder holds something else, or cannot be written.
    """
    if folder.exists() and not (folder / HEADER).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise CheckpointError(f"{folder} exists and is no saved pipeline: choose another folder, or remove it")

    def fill(aside: Path) -> None:
        save_model(pipeline, str(aside / WEIGHTS))
        pipeline.about = pipeline.about.of_weights(entry(aside / WEIGHTS)["sha256"])
        head = {
            "format": FORMAT,
            "mmsdk": registry().plugins[0].version,
            "torch": str(torch.__version__),
            "plugins": needed_plugins(pipeline.config),
            **pipeline.about.model_dump(mode="json"),
            "config": pipeline.config.model_dump(mode="json", exclude={"data", "stages", "init_from"}),
        }
        (aside / HEADER).write_text(json.dumps(head, indent=1, ensure_ascii=False), encoding="utf-8")
        save_tree(pipeline.modalities.state(), aside / "modalities")
        card = pipeline.about.card or model_card(pipeline, head)
        (aside / CARD).write_text(card, encoding="utf-8")

    return write_folder(folder, fill)


def load(folder: Path) -> Pipeline:
    """Open a saved pipeline, or the one in a run's folder, or an exported one."""
    if (standing(folder) / "export.json").is_file():
        from mmsdk.export.folder import open_exported

        return open_exported(folder)
    home = find(folder)
    verify_folder(home, LOADED)
    head = read_json(home / HEADER)
    try:
        head = migrations.migrated(head, "format", migrations.SAVED)
        config, about = head["config"], About.model_validate(head)
        plugins = known_plugins(head["plugins"], home / HEADER)
    except ValidationError as error:
        raise CheckpointError(f"{home / HEADER}: damaged: {first_problem(error)}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{home / HEADER}: damaged: {error}") from None
    if head.get("format") != FORMAT:
        raise CheckpointError(
            f"{home}: saved in format {head.get('format')}, this mmsdk reads format {FORMAT}: pip install -U mmsdk"
        )
    require_plugins(plugins, home)
    checked = saved_config(config, home / HEADER)
    modalities = Modalities(checked).restore(load_tree(home / "modalities"))
    require_weight(checked, modalities, home / WEIGHTS)
    pipeline = Pipeline(checked, modalities)
    load_weights(pipeline, home / WEIGHTS)
    weights = entries_of(home)[WEIGHTS]["sha256"]
    pipeline.about = about.model_copy(update={"weights": weights, "card": edited_card(home)})
    return pipeline.eval()


def note(
    folder: Path, metrics: Mapping[str, float] | None = None, subsets: Sequence[SubsetFigures] | None = None
) -> Path:
    """Write figures into a saved pipeline and its model card; those of other splits stay, and an edited card, too.

    Raises:
        CheckpointError: see `load` and `save`.
    """
    home = find(folder)
    pipeline = load(home)
    known = pipeline.about
    facts = {"metrics": known.metrics | dict(metrics or {}), "subsets": known.subsets if subsets is None else subsets}
    pipeline.about = known.model_copy(update={**facts, "weights": None})
    return save(pipeline, home)


def edited_card(home: Path) -> str | None:
    """The model card of a saved pipeline, where it is no longer the one that was written."""
    card = home / CARD
    if not card.is_file() or entry(card) == entries_of(home).get(CARD):
        return None
    return card.read_text(encoding="utf-8", errors="replace")


def load_weights(pipeline: Pipeline, path: Path, elsewhere: Collection[str] = ()) -> None:
    """Fill a pipeline with saved weights. elsewhere: names of those that may not be in this file.

    Raises:
        CheckpointError: the file is damaged, belongs to another architecture, or holds what is no number.
    """
    try:
        missing, unknown = load_model(pipeline, str(path), strict=False)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise CheckpointError(f"{path}: does not fit this pipeline: {error}") from None
    for names, what in ((set(missing) - set(elsewhere), "are missing"), (unknown, "are not known to it")):
        if names:
            raise CheckpointError(f"{path}: does not fit this pipeline: weights {what}: {listed(sorted(names))}")
    for name, weights in pipeline.named_parameters():
        if not torch.isfinite(weights).all():
            raise CheckpointError(f"{path}: the weights '{name}' are not finite: take an earlier checkpoint, or train")


def find(folder: Path) -> Path:
    """The saved pipeline in a folder: itself, or its `pipeline/`."""
    for home in (standing(folder), standing(folder / "pipeline")):
        if (home / HEADER).is_file():
            return home
    if (folder / "checkpoints").is_dir():
        raise CheckpointError(
            f"{folder}: this run has not finished yet: run its `mmsdk train` command again with --resume"
        )
    runs = sorted(each.parent.parent for each in folder.glob("*/pipeline/" + HEADER)) if folder.is_dir() else []
    such = f", such as {runs[0]}" if runs else ""
    raise CheckpointError(
        f"{folder}: there is no saved pipeline here (no pipeline.json): give the folder of a finished run{such}"
    )


def needed_plugins(config: PipelineConfig) -> dict[str, dict[str, str]]:
    """By prefix: the distribution and version of each plugin whose components a config names."""
    owners = {}
    for name in {component.type_name(): None for component in components(config)}:
        owner = registry().owner(name)
        prefix = name.partition(".")[0] if "." in name else ""
        if owner is None:
            owners[prefix] = {"distribution": "", "version": "", "component": name}
        elif owner.prefix:
            owners[prefix] = {"distribution": owner.distribution, "version": owner.version}
    return owners


def known_plugins(given: Any, file: Path) -> dict[str, dict[str, str]]:
    """What a file says of the plugins that it needs, as `needed_plugins` wrote it.

    Raises:
        CheckpointError: it says something else.
    """
    try:
        return TypeAdapter(dict[str, dict[str, str]]).validate_python(given)
    except ValidationError as error:
        raise CheckpointError(f"{file}: damaged: plugins: {first_problem(error)}") from None


def require_plugins(plugins: Mapping[str, Mapping[str, str]], home: Path) -> None:
    """Say what to install before anything is built. A name from the folder is shown only if it is a plain name."""
    for prefix, needed in plugins.items():
        if needed.get("component"):
            name = needed["component"]
            if not any(name in components for components in registry().local.values()):
                raise PluginError(
                    f"{home}: needs '{name}', which was registered in the process that saved it: register it first"
                )
            continue
        here = [plugin for plugin in registry().plugins if plugin.prefix == prefix]
        reasons = [plugin.reason for plugin in here if plugin.reason]
        if here and not reasons:
            continue
        if reasons:
            raise PluginError(f"{home}: {reasons[0]}")
        distribution = KNOWN_PLUGINS.get(prefix, needed.get("distribution", ""))
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", distribution):
            raise PluginError(f"{home}: needs a plugin with the prefix '{prefix}', which is not installed")
        raise PluginError(
            f"{home}: needs the plugin '{distribution}' (saved with version {needed.get('version')}), which is not "
            f"installed: pip install {distribution}"
        )
