"""An exported pipeline: one folder.

export.json             format, config, plugins, heads, what goes in and comes out, how far it was from the pipeline
model.onnx or model.pt2 the graph, with its weights; beside it model.onnx.data where they are too large for one file
modalities.*            what modalities learned: vocabularies, labels, statistics
MANIFEST.json           sizes and sha256 of the above
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from mmsdk.config.file import saved_config
from mmsdk.data.samples import Row
from mmsdk.errors import CheckpointError, ExportError
from mmsdk.export.graph import Flat, Graph, exported_heads, flat_inputs, lengths_of
from mmsdk.export.parity import batch_of, checked, readable
from mmsdk.export.runtime import ExportedPipeline, Runner, onnx_runner
from mmsdk.export.tracing import require_onnx, traced, write_onnx, write_torch
from mmsdk.folders import load_tree, open_folder, read_json, save_tree, standing, write_folder
from mmsdk.pipeline.modalities import Modalities
from mmsdk.pipeline.pipeline import Pipeline
from mmsdk.plugins.registry import registry

FORMAT = 1
HEADER = "export.json"
FILES = {"onnx": "model.onnx", "torch": "model.pt2"}
Kind = Literal["onnx", "torch"]


class Exported(NamedTuple):
    """What was exported: to which folder, which heads, and in how many batches it was how far from the pipeline."""

    folder: Path
    heads: list[str]
    batches: int
    difference: float


def export_pipeline(pipeline: Pipeline, folder: Path, rows: Sequence[Row], kind: Kind = "onnx") -> Exported:
    """Write a pipeline as a graph, checked against the pipeline on these rows.

    Raises:
        ExportError: something cannot be exported, or gives other results; nothing is written then.
        CheckpointError: the folder holds something else, or cannot be written.
    """
    if folder.exists() and not (folder / HEADER).is_file():
        raise CheckpointError(f"{folder} exists and is no exported pipeline: choose another --output, or remove it")
    if isinstance(pipeline, ExportedPipeline):
        raise ExportError("This pipeline is an exported one: export the run that it was made of")
    if kind == "onnx":
        require_onnx()
    pipeline = pipeline.to("cpu").eval()
    heads, own = exported_heads(pipeline), readable(pipeline, rows)
    inputs = flat_inputs(batch_of(pipeline, own))
    _require_plain(pipeline, heads, own)
    program = traced(Graph(pipeline, heads), inputs)
    found: list[tuple[int, float]] = []

    def fill(aside: Path) -> None:
        path = aside / FILES[kind]
        if kind == "onnx":
            write_onnx(program, inputs, path)
        else:
            write_torch(program, path)
        found.append(checked(pipeline, heads, onnx_runner(path) if kind == "onnx" else _torch_runner(path), own))
        save_tree(pipeline.modalities.state(), aside / "modalities")
        header = _header(pipeline, kind, heads, inputs) | {"checked_batches": found[0][0], "difference": found[0][1]}
        (aside / HEADER).write_text(json.dumps(header, indent=1, ensure_ascii=False), encoding="utf-8")

    write_folder(folder, fill)
    return Exported(folder, heads, *found[0])


def is_exported(folder: Path) -> bool:
    return (standing(folder) / HEADER).is_file()


def open_exported(folder: Path) -> ExportedPipeline:
    """A pipeline that ONNX Runtime computes. Nothing but that folder is read, and no pickle.

    Raises:
        CheckpointError: the folder is damaged, or not as it was written. PluginError: a plugin is missing.
        ExportError: it holds no graph of ONNX, or ONNX Runtime is not installed.
    """
    from mmsdk.pipeline.saving import known_plugins, require_plugins

    home = open_folder(folder)
    header = read_json(home / HEADER)
    try:
        if header["format"] != FORMAT:
            raise CheckpointError(
                f"{home}: exported in format {header['format']}, this mmsdk reads format {FORMAT}: export the run again"
            )
        kind, heads, whose = header["kind"], header["heads"], str(header["fingerprint"])
        if kind != "onnx":
            raise ExportError(
                f"{home}: holds a program of torch.export, which mmsdk writes and does not open: export with "
                "--format onnx, or name the run"
            )
        require_plugins(known_plugins(header["plugins"], home / HEADER), home)
        config = saved_config(header["config"], home / HEADER)
        if not isinstance(heads, list) or not all(isinstance(name, str) and name in config.heads for name in heads):
            raise ValueError("'heads' are none of this pipeline")
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{home / HEADER}: damaged: {str(error).splitlines()[0]}: export the run again") from None
    modalities = Modalities(config).restore(load_tree(home / "modalities"))
    pipeline = ExportedPipeline(config, modalities, onnx_runner(home / FILES["onnx"]), heads, whose)
    pipeline.eval()
    return pipeline


def _require_plain(pipeline: Pipeline, heads: Sequence[str], rows: Sequence[Row]) -> None:
    """Refuse heads that write or draw: they ask the network again for each word or step."""
    with torch.inference_mode():
        outputs = pipeline(batch_of(pipeline, rows[:2]), heads)
    for name, output in outputs.items():
        if output.generated or (output.scores is None and not output.embeddings):
            kind = pipeline.config.heads[name].type_name()
            raise ExportError(
                f"The head '{name}' ({kind}) cannot be exported: it makes its answers in several steps. Use the run "
                "itself, or a pipeline without this head"
            )


def _header(pipeline: Pipeline, kind: Kind, heads: Sequence[str], inputs: Flat) -> dict[str, Any]:
    from mmsdk.pipeline.saving import needed_plugins

    lengths = lengths_of(inputs)
    described = {
        name: {
            "dtype": str(each.dtype).removeprefix("torch."),
            "shape": ["batch", *(lengths[name].get(place, size) for place, size in enumerate(each.shape) if place)],
        }
        for name, each in inputs.items()
    }
    return {
        "format": FORMAT,
        "kind": kind,
        "mmsdk": registry().plugins[0].version,
        "plugins": needed_plugins(pipeline.config),
        "fingerprint": pipeline.fingerprint(),
        "heads": list(heads),
        "inputs": described,
        "config": pipeline.config.model_dump(mode="json", exclude={"data", "stages", "init_from"}),
    }


def _torch_runner(path: Path) -> Runner:
    """Runs a .pt2 file that this very process has written; others may hold what no one should open."""
    module = torch.export.load(str(path)).module()

    def run(inputs: Flat) -> Flat:
        with torch.inference_mode():
            found: Flat = module(inputs)
            return found

    return run
