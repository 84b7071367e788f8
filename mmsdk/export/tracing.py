"""From a pipeline to a `torch.export` program, and from there to ONNX."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from mmsdk.containers import Encoding
from mmsdk.errors import ExportError, told
from mmsdk.export.graph import Flat, Graph, apart, lengths_of
from mmsdk.export.recurrence import onnx_recurrence
from mmsdk.pipeline.pipeline import Pipeline

ROWS = 3
"""Samples that are traced with. A dimension of 0 or 1 would be taken for a constant."""
OPSET = 20
IN_ONE_FILE = 1_500_000_000
"""Bytes of weights; a file of ONNX holds 2 GB at most, larger weights lie beside it."""


def traced(graph: Graph, inputs: Flat) -> ExportedProgram:
    """The program, with a batch and lengths of any size.

    Raises:
        ExportError: names the component that cannot be traced.
    """
    example = _example(inputs)
    try:
        with _quiet():
            return _export(graph, example, _dynamic(example))
    except Exception as error:
        raise _blamed(graph, example, error) from error


def write_onnx(program: ExportedProgram, inputs: Flat, path: Path) -> None:
    """The program as ONNX.

    Raises:
        ExportError: an operator has no counterpart there, or a package is missing.
    """
    require_onnx()
    try:
        with _quiet():
            made = torch.onnx.export(
                program,
                (),
                dynamo=True,
                verbose=False,
                opset_version=OPSET,
                input_names=list(inputs),
                output_names=_output_names(program),
                custom_translation_table={torch.ops.mmsdk.recurrence.default: onnx_recurrence},
            )
            assert made is not None
            size = sum(each.nbytes for each in program.state_dict.values())
            made.save(str(path), external_data=size > IN_ONE_FILE)
    except Exception as error:
        raise ExportError(
            f"ONNX cannot express this pipeline: {_first_line(_root(error))}. Try --format torch"
        ) from error


def write_torch(program: ExportedProgram, path: Path) -> None:
    """The program as a .pt2 file, without the rows that it was traced with."""
    program.example_inputs = None
    with _quiet():
        torch.export.save(program, str(path))


def require_onnx() -> None:
    """Raises ExportError where the extra is not installed."""
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ExportError(f"'{error.name}' is not installed: pip install 'mmsdk[onnx]'") from None
    del onnx, onnxruntime


def _export(module: nn.Module, example: Any, dynamic: Any) -> ExportedProgram:
    with torch.no_grad():
        return torch.export.export(module, (example,), dynamic_shapes=(dynamic,), strict=False)


def _example(inputs: Flat) -> Flat:
    """The same values, with `ROWS` samples and lengths that are all different, so that none is taken for another."""
    rows = torch.arange(ROWS)
    found = {name: each[rows % len(each)] for name, each in inputs.items()}
    lengths = lengths_of(inputs)
    sizes: dict[str, int] = {}
    for name, own in lengths.items():
        for place, label in own.items():
            sizes.setdefault(label, max(inputs[name].shape[place], ROWS + 2) + len(sizes))
    for name, own in lengths.items():
        for place, label in own.items():
            more = sizes[label] - found[name].shape[place]
            found[name] = nn.functional.pad(found[name], [0, 0] * (found[name].dim() - 1 - place) + [0, more])
    return found


def _dynamic(example: Flat) -> dict[str, dict[int, Any]]:
    """Left to the tracer, which finds out by itself which sizes are the same ones."""
    return {name: dict.fromkeys((0, *own), Dim.DYNAMIC) for name, own in lengths_of(example).items()}


class _Joined(nn.Module):
    """A fusion over encodings as flat tensors."""

    def __init__(self, fusion: nn.Module) -> None:
        super().__init__()
        self.fusion = fusion

    def forward(self, parts: dict[str, tuple[Tensor, ...]]) -> Any:
        fused = self.fusion({name: Encoding(*each) for name, each in parts.items()})
        return tuple(fused.encoding)


class _Encoded(nn.Module):
    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, inputs: Flat) -> Any:
        return tuple(self.encoder(inputs))


def _blamed(graph: Graph, example: Flat, cause: Exception) -> ExportError:
    """Whose fault it is: each encoder and the fusion are traced alone; if they can be, it is a head's."""
    pipeline: Pipeline = graph.pipeline
    config = pipeline.config
    streams, _ = apart(example, list(config.streams))
    dims = _dynamic(example)
    encodings = {}
    for name, encoder in pipeline.encoders.items():
        own = {key: dims[f"{name}.{key}"] for key in streams[name]}
        if (error := _tried(_Encoded(encoder), streams[name], own)) is not None:
            kind = config.streams[config.owner_of(name)].encoder
            return _cannot(f"encoder '{kind.type_name() if kind else '?'}' of stream '{name}'", error)
        with torch.no_grad():
            encodings[name] = tuple(encoder(streams[name]))
    if pipeline.fusion is not None and config.fusion is not None:
        free = {name: tuple({0: Dim.AUTO, 1: Dim.AUTO} for _ in each) for name, each in encodings.items()}
        if (error := _tried(_Joined(pipeline.fusion), encodings, free)) is not None:
            return _cannot(f"fusion '{config.fusion.type_name()}'", error)
    heads = ", ".join(f"'{name}' ({config.heads[name].type_name()})" for name in graph.names)
    return _cannot(f"one of the heads {heads}", cause)


def _tried(module: nn.Module, example: Any, dynamic: Any) -> Exception | None:
    try:
        with _quiet():
            _export(module, example, dynamic)
    except Exception as error:
        return error
    return None


def _cannot(whose: str, error: Exception) -> ExportError:
    return ExportError(
        f"The {whose} cannot be exported: {_first_line(error)}. A graph has no branches that depend on values of "
        "tensors: docs/export.md lists what can be exported"
    )


def _root(error: BaseException) -> BaseException:
    """What the exporter stumbled over; it wraps that several times."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _first_line(error: BaseException) -> str:
    return told(error).strip().splitlines()[0].rstrip(".")[:300]


def _output_names(program: ExportedProgram) -> list[str]:
    spec = program.call_spec.out_spec
    assert spec is not None
    return [str(key) for key in spec.context]


@contextmanager
def _quiet() -> Iterator[None]:
    """Exporters talk much of what no user can change."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "torch.fx", "onnxscript", "onnx_ir")]
    before = [each.level for each in loggers]
    try:
        for each in loggers:
            each.setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for each, level in zip(loggers, before, strict=True):
            each.setLevel(level)
