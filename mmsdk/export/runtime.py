"""ONNX Runtime in the place of torch: a pipeline whose tensors go through an exported graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor

from mmsdk.config.pipeline import PipelineConfig
from mmsdk.containers import Batch, HeadOutput
from mmsdk.errors import ExportError, listed, told
from mmsdk.export.graph import Flat, flat_inputs, head_outputs
from mmsdk.export.tracing import require_onnx
from mmsdk.pipeline.modalities import Modalities
from mmsdk.pipeline.pipeline import Pipeline
from mmsdk.pipeline.prediction import Precision
from mmsdk.pipeline.reading import Encodings
from mmsdk.pipeline.without_values import without_values

Runner = Callable[[Flat], Mapping[str, Tensor]]


class ExportedPipeline(Pipeline):
    """Reads and answers as a `Pipeline` does; in between it runs a graph. Its own parameters have no values.

    heads: those that were exported. whose: the fingerprint of the pipeline that was exported.
    """

    def __init__(
        self, config: PipelineConfig, modalities: Modalities, run: Runner, heads: Sequence[str], whose: str
    ) -> None:
        with without_values():  # heads are built to decode, not to compute
            super().__init__(config, modalities)
        self._run, self._exported, self._whose = run, list(heads), whose

    @property
    def precision(self) -> Precision:
        return "float32"

    @precision.setter
    def precision(self, precision: Precision) -> None:
        if precision != "float32":
            raise ExportError("An exported pipeline computes in float32: leave the precision out, or name the run")

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def forward(
        self,
        batch: Batch,
        heads: Sequence[str],
        generator: torch.Generator | None = None,
        encodings: Encodings | None = None,
    ) -> dict[str, HeadOutput]:
        """The scores and the embeddings of heads; there are no losses.

        Raises:
            ExportError: a head that was not exported, or something that needs more than the graph.
        """
        missing = [name for name in heads if name not in self._exported]
        if missing:
            raise ExportError(f"Head {listed(missing)} was not exported. Exported: {listed(self._exported)}.")
        if encodings is not None or generator is not None or self.training:
            raise ExportError("An exported pipeline predicts and embeds, nothing else: name the run it was made of")
        return head_outputs(self._run(flat_inputs(batch)), heads)

    def fingerprint(self) -> str:
        return self._whose

    def save(self, folder: str | Path, metrics: Mapping[str, float] | None = None) -> NoReturn:
        raise ExportError("An exported pipeline has no weights to save: copy its folder, or save the run's pipeline")


def onnx_runner(path: Path) -> Runner:
    """Runs an .onnx file on the processor, with as many threads as torch has.

    Raises:
        ExportError: ONNX Runtime is not installed, or does not take the file.
    """
    require_onnx()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ExportError(f"{path}: ONNX Runtime cannot open it: {told(error)}: export the run again") from None
    wanted = {each.name for each in session.get_inputs()}
    names = [each.name for each in session.get_outputs()]

    def run(inputs: Flat) -> dict[str, Tensor]:
        given: dict[str, Any] = {name: each.numpy() for name, each in inputs.items() if name in wanted}
        try:
            found = session.run(names, given)
        except Exception as error:
            raise ExportError(f"{path}: ONNX Runtime failed: {told(error)}") from None
        return {name: torch.from_numpy(each) for name, each in zip(names, found, strict=True)}

    return run
